# SPDX-License-Identifier: Apache-2.0
"""The modules that a valid config lists in `lora_target_modules`. No I/O here."""

from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.memory.adapter import ALL_LINEAR

KEY = "lora_target_modules"


def listed_targets(config: SftConfig) -> tuple[str, ...]:
    """The targets as a list of names; empty for an expression."""
    targets = config[KEY]
    return tuple(targets) if isinstance(targets, list | tuple) else ()


def targets_all_linear(config: SftConfig) -> bool:
    """Whether every linear layer is a target; a list of one entry is an expression too."""
    return config[KEY] == ALL_LINEAR or listed_targets(config) == (ALL_LINEAR,)
