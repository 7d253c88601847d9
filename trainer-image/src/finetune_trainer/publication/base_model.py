# SPDX-License-Identifier: Apache-2.0
"""How the base model of an adapter is named to its users: for transformers and PEFT, which load
names on the hub and directories, and no stores. No I/O here.
"""

from dataclasses import dataclass
from pathlib import Path

from finetune_trainer.plan.parsed_run import ParsedRun
from finetune_trainer.storage import locations

MAIN = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A base model."""

    loads_as: str | None
    """The argument of `from_pretrained`: its name on the hub, or its directory. None if it must be
    downloaded first: any name would be looked up on the hub, where anyone may register it.
    """
    revision: str | None = None
    """Its branch, tag or commit on the hub, if it is not the newest."""
    is_on_hub: bool = False

    @classmethod
    def of(cls, name: str, revision: str | None = None, *, is_folder: bool = False) -> "BaseModel":
        """The base model with this name in a config.

        `is_folder` is whether a name such as `models/llama` is a local directory; it may also be a
        name on the hub.
        """
        path = Path(name) if is_folder else locations.path_of(name)
        if path is not None:
            return cls(loads_as=str(path.absolute()))
        if locations.scheme_of(name) not in (None, locations.HUB_SCHEME):
            return cls(loads_as=None)
        wanted = None if revision == MAIN else revision
        return cls(loads_as=locations.hub_name(name), revision=wanted, is_on_hub=True)

    @classmethod
    def of_adapter(cls, run: ParsedRun, *, is_folder: bool) -> "BaseModel":
        """The base model of an adapter that this run trains."""
        if run.has_merged_base:
            # Another adapter was merged into it before, and the result is stored nowhere.
            return cls(loads_as=None)
        config = run.config
        return cls.of(
            str(config["model_name_or_path"]), config["model_revision"], is_folder=is_folder
        )
