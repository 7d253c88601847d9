# SPDX-License-Identifier: Apache-2.0
"""How what was published is loaded: what stands in its card, to be pasted as it is. Pure."""

import json
import shlex

from finetune_trainer.publication.report.story import Story
from finetune_trainer.storage import locations

FOLDER = "base"
"""Where a base model that is in a store is downloaded to."""


def how_to_load(story: Story, name: str, *, is_adapter: bool) -> str:
    """Markdown: commands that bring the base model here, where those are needed, and Python. `name`
    is the artifact's, on the hub or as a folder."""
    python = _adapter(story, name) if is_adapter else _model(story, name)
    download = ""
    if is_adapter and story.base.loads_as is None:
        download = (
            f"The base model is in a store. Download it into the folder `{FOLDER}` first, with "
            "the credentials of that "
            f"store:\n\n```sh\n{download_command(story.base_model)}\n```\n\n"
        )
    return f"{download}```python\n{python}```"


def download_command(uri: str) -> str:
    """What brings a folder of a store here, by the tool that its users have."""
    bucket, _, path = uri.partition("://")[2].strip("/").partition("/")
    match locations.scheme_of(uri):
        case "s3":
            return f"aws s3 cp --recursive {shlex.quote(uri)} {FOLDER}"
        case "gs":
            source = shlex.quote(uri)
            return f"mkdir {FOLDER} && gcloud storage rsync --recursive {source} {FOLDER}"
        case "az":
            batch = f"az storage blob download-batch --source {shlex.quote(bucket)}"
            if not path:
                return f"mkdir {FOLDER} && {batch} --destination {FOLDER}"
            # It keeps the whole path of each file.
            pattern, folder = shlex.quote(f"{path}/*"), shlex.quote(path)
            return f"{batch} --pattern {pattern} --destination . && mv {folder} {FOLDER}"
    return f"# download {shlex.quote(uri)} into {FOLDER}"


def _adapter(story: Story, name: str) -> str:
    kind, reader = _classes(story)
    vocabulary = "processor.tokenizer" if story.has_processor else "tokenizer"
    resize = _RESIZE.format(vocabulary=vocabulary)
    needs_rows = story.added_tokens or story.trains_token_rows
    base = _call(story, story.base.loads_as or FOLDER, story.base.revision)
    artifact = _call(story, name, _revision(story, name))
    return (
        f"from peft import PeftModel\nfrom transformers import {kind}, {reader}\n\n"
        f"{_read(story, reader, artifact)}"
        f"base = {kind}.from_pretrained({base})\n"
        f"{resize if needs_rows else ''}"
        f"model = PeftModel.from_pretrained(base, {_call(None, name, _revision(story, name))})\n"
    )


_RESIZE = """\
rows = max(len({vocabulary}), base.get_input_embeddings().num_embeddings)
base.resize_token_embeddings(rows)  # for the tokens that were added
"""


def _model(story: Story, name: str) -> str:
    kind, reader = _classes(story)
    artifact = _call(story, name, _revision(story, name))
    return (
        f"from transformers import {kind}, {reader}\n\n"
        f"model = {kind}.from_pretrained({artifact})\n{_read(story, reader, artifact)}"
    )


def _classes(story: Story) -> tuple[str, str]:
    """Of the model, and of what reads for it. The first word of both is given by the model."""
    if story.has_processor:
        return "AutoModelForImageTextToText", "AutoProcessor"
    return "AutoModelForCausalLM", "AutoTokenizer"


def _read(story: Story, reader: str, artifact: str) -> str:
    variable = "processor" if story.has_processor else "tokenizer"
    return f"{variable} = {reader}.from_pretrained({artifact})\n"


def _call(story: Story | None, name: str, revision: str | None) -> str:
    """The arguments that load something of this name; without a story what holds no code."""
    # In JSON's quotes, which are Python's too: a folder may be named in any way.
    arguments = [json.dumps(name, ensure_ascii=False)]
    if revision is not None:
        arguments.append(f"revision={json.dumps(revision, ensure_ascii=False)}")
    if story is not None and story.run.config["trust_remote_code"]:
        arguments.append("trust_remote_code=True")
    return ", ".join(arguments)


def _revision(story: Story, name: str) -> str | None:
    """The branch that the artifact was pushed to."""
    is_pushed = name == story.run_facts.repository
    revision: str | None = story.run.config["hub_revision"] if is_pushed else None
    return revision
