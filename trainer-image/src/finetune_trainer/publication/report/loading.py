# SPDX-License-Identifier: Apache-2.0
"""How a published artifact is loaded: text for its card that can be pasted. Pure."""

import json
import shlex

from finetune_trainer.publication.report.story import Story
from finetune_trainer.storage import locations

FOLDER = "base"
"""The directory that a base model from a store is downloaded to."""


def how_to_load(story: Story, name: str, *, is_adapter: bool) -> str:
    """Markdown: commands that download the base model if required, and Python. `name` is the
    artifact's, on the hub or as a directory.
    """
    python = _adapter(story, name) if is_adapter else _model(story, name)
    download = ""
    if is_adapter and story.base.loads_as is None:
        download = (
            f"The base model is in a store. Download it into the directory `{FOLDER}` first, with "
            "the credentials of that "
            f"store:\n\n```sh\n{download_command(story.base_model)}\n```\n\n"
        )
    return f"{download}```python\n{python}```"


def download_command(uri: str) -> str:
    """The command that downloads a directory from a store, with the usual tool of that store."""
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
            # It keeps the complete path of each file.
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
    """The classes of the model and of its tokenizer or processor. The model determines the first
    word of both.
    """
    if story.has_processor:
        return "AutoModelForImageTextToText", "AutoProcessor"
    return "AutoModelForCausalLM", "AutoTokenizer"


def _read(story: Story, reader: str, artifact: str) -> str:
    variable = "processor" if story.has_processor else "tokenizer"
    return f"{variable} = {reader}.from_pretrained({artifact})\n"


def _call(story: Story | None, name: str, revision: str | None) -> str:
    """The arguments that load an object of this name; without a story for objects without code."""
    # In JSON's quotes, which are also Python's: a directory may have any name.
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
