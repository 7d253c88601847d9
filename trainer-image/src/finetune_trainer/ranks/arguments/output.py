# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for saving."""

from dataclasses import dataclass, field


@dataclass
class OutputArguments:
    """TRL's parser reads it next to its own."""

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
