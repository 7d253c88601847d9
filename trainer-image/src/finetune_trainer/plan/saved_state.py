# SPDX-License-Identifier: Apache-2.0
"""How the profile `fsdp2` saves its states: in full, or one part per process. No I/O.

The full state is one file that other tools read, and passes through the first process: for a 72B
model in full fine-tuning it is 870 GB, in its memory and on its node's disk.
"""

from dataclasses import dataclass
from typing import Any

from finetune_spec.config import SftConfig

LARGE_BYTES = 32 * 1024**3
"""The size that the first process may gather: its node has loaded weights of that size as well."""

_PROFILE = "fsdp2"
_TYPE = "state_dict_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """The facts about an attempt's states."""

    optimizer_bytes: int = 0
    """The size for all processes together; 0 if unknown."""
    was_in_parts: bool | None = None
    """How the checkpoint to resume from was saved; None for a fresh start."""


def with_parts(config: SftConfig, state: SavedState) -> dict[str, Any]:
    """The changes to the config for TRL's parser. The user's own keys are kept."""
    own = config.current.get("fsdp_config")
    is_said = isinstance(own, dict) and {_TYPE, f"fsdp_{_TYPE}"} & own.keys()
    if config.current.get("accelerate_config") != _PROFILE or is_said or config["save_only_model"]:
        return {}
    is_large = state.optimizer_bytes >= LARGE_BYTES
    # A checkpoint is read in the form it was written in, by whichever version of this image.
    if not (is_large if state.was_in_parts is None else state.was_in_parts):
        return {}
    return {"fsdp_config": {**config.mapping("fsdp_config"), _TYPE: "SHARDED_STATE_DICT"}}
