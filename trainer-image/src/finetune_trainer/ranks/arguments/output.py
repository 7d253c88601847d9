# SPDX-License-Identifier: Apache-2.0
"""Keys of the config that are ours: what is saved, and when."""

from dataclasses import dataclass, field


@dataclass
class OutputArguments:
    """Read by TRL's parser beside its own."""

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
