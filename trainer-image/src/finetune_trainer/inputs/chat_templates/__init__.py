# SPDX-License-Identifier: Apache-2.0
"""Where the chat templates are that a config may take by name: TRL's, and `chatml` here.

TRL has ChatML only in the words of single models, which greet with those models' names.
"""

from importlib.util import find_spec
from pathlib import Path

from finetune_spec.config.check.chat_templates import NAMES

ENDINGS = (".jinja", ".j2")
"""By these TRL tells a template's file from a tokenizer."""


def file_of(name: str) -> Path | None:
    """The file of a template that is known by this name; None where none is."""
    if name not in NAMES:
        return None
    ours = Path(__file__).with_name(f"{name}{ENDINGS[0]}")
    return ours if ours.is_file() else folder_of_trl() / ours.name


def folder_of_trl() -> Path:
    """Found without importing TRL, which would take seconds."""
    spec = find_spec("trl")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("trl is not installed")
    return Path(spec.submodule_search_locations[0]) / "chat_templates"
