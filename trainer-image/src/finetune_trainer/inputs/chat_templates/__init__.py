# SPDX-License-Identifier: Apache-2.0
"""The chat templates that a config may use by name: TRL's, and `chatml` from here.

TRL has ChatML only in versions of single models, whose system messages name those models.
"""

from importlib.util import find_spec
from pathlib import Path

from finetune_spec.config.check.chat_templates import NAMES

ENDINGS = (".jinja", ".j2")
"""TRL recognizes a template file by these."""


def file_of(name: str) -> Path | None:
    """The file of the template with this name; None if there is none."""
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
