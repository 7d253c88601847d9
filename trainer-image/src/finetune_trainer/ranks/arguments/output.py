# SPDX-License-Identifier: Apache-2.0
"""Keys of the config that are ours: what is saved, and when."""

from dataclasses import dataclass, field


@dataclass
class OutputArguments:
    """Read by TRL's parser beside its own."""

    merge_adapter: bool = field(
        default=False,
        metadata={
            "help": "Publish the base model with the adapter merged into it as well, as a whole "
            "model that needs no PEFT."
        },
    )
    save_minutes: float | None = field(
        default=None,
        metadata={
            "help": "Save a checkpoint whenever this many minutes have passed since the last one, "
            "beside what save_strategy says."
        },
    )
