# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for saving."""

from dataclasses import dataclass, field


@dataclass
class OutputArguments:
    """TRL's parser reads it next to its own."""

    merge_adapter: bool = field(
        default=False,
        metadata={
            "help": "Also publish the base model with the merged adapter, as a complete model that "
            "does not require PEFT."
        },
    )
    save_minutes: float | None = field(
        default=None,
        metadata={
            "help": "Save a checkpoint this number of minutes after the previous one, in addition "
            "to save_strategy."
        },
    )
