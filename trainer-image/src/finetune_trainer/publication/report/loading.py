# SPDX-License-Identifier: Apache-2.0
"""How a published artifact is loaded: text for its card that can be pasted. Pure."""

import json
import shlex

from finetune_trainer.publication.base_model import BaseModel
from finetune_trainer.publication.report.story import Story
from finetune_trainer.storage import locations

FOLDER = "base"
"""The directory that a base model from a store is downloaded to."""
FIRST_ADAPTER = "first-adapter"
"""The same for an adapter that was merged into it."""


def how_to_load(story: Story, name: str, *, is_adapter: bool) -> str:
    """Markdown: commands that download the base model if required, and Python. `name` is the
    artifact's, on the hub or as a directory.
    """
    python = _adapter(story, name) if is_adapter else _model(story, name)
    download = ""
    if is_adapter and story.base.loads_as is None:
        download = _download("base model", story.base_model, FOLDER)
    first = _merged_adapter(story) if is_adapter else None
    if first is not None and first.loads_as is None and story.run.starting is not None:
        download += _download("adapter below it", story.run.starting.name, FIRST_ADAPTER)
    return f"{download}```python\n{python}```"


def _download(what: str, uri: str, folder: str) -> str:
    return (
        f"The {what} is in a store. Download it into the directory `{folder}` first, with the "
        f"credentials of that store:\n\n```sh\n{download_command(uri, folder)}\n```\n\n"
    )


def _merged_adapter(story: Story) -> BaseModel | None:
    """How the adapter is loaded that was merged into the base model before the training."""
    starting = story.run.starting
    if starting is None or not story.run.has_merged_base:
        return None
    revision = starting.written.get("model_revision")
    is_folder = starting.is_folder
    return BaseModel.of(starting.name, revision, is_folder=is_folder)


def download_command(uri: str, folder: str = FOLDER) -> str:
    """The command that downloads a directory from a store, with the usual tool of that store."""
    bucket, _, path = uri.partition("://")[2].strip("/").partition("/")
    match locations.scheme_of(uri):
        case "s3":
            return f"aws s3 cp --recursive {shlex.quote(uri)} {folder}"
        case "gs":
            source = shlex.quote(uri)
            return f"mkdir {folder} && gcloud storage rsync --recursive {source} {folder}"
        case "az":
            batch = f"az storage blob download-batch --source {shlex.quote(bucket)}"
            if not path:
                return f"mkdir {folder} && {batch} --destination {folder}"
            # It keeps the complete path of each file.
            pattern, place = shlex.quote(f"{path}/*"), shlex.quote(path)
            return f"{batch} --pattern {pattern} --destination . && mv {place} {folder}"
    return f"# download {shlex.quote(uri)} into {folder}"


def _adapter(story: Story, name: str) -> str:
    kind, reader = _classes(story)
    vocabulary = "processor.tokenizer" if story.has_processor else "tokenizer"
    resize = _RESIZE.format(vocabulary=vocabulary)
    first = _merged_adapter(story)
    needs_rows = story.added_tokens or story.trains_token_rows or _has_token_rows(story)
    base = _call(story, story.base.loads_as or FOLDER, story.base.revision)
    artifact = _call(story, name, _revision(story, name))
    return (
        f"from peft import PeftModel\nfrom transformers import {kind}, {reader}\n\n"
        f"{_read(story, reader, artifact)}"
        f"base = {kind}.from_pretrained({base})\n"
        f"{resize if needs_rows else ''}"
        f"{'' if first is None else _merge(first)}"
        f"model = PeftModel.from_pretrained(base, {_call(None, name, _revision(story, name))})\n"
    )


def _merge(first: BaseModel) -> str:
    adapter = _call(None, first.loads_as or FIRST_ADAPTER, first.revision)
    return f"base = PeftModel.from_pretrained(base, {adapter}).merge_and_unload()\n"


def _has_token_rows(story: Story) -> bool:
    starting = story.run.starting
    return starting is not None and bool(starting.adapter.options.get("trainable_token_indices"))


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
