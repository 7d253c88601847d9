# SPDX-License-Identifier: Apache-2.0
"""Keys of the config that are ours: what TRL's SFT lacks of shaping data."""

from dataclasses import dataclass, field


@dataclass
class DataArguments:
    """Read by TRL's parser beside its own, so it is as plain a dataclass as they are."""

    system_message: str | None = field(
        default=None,
        metadata={
            "help": "A system message that is put in front of every conversation that has none. "
            "For conversational data only, and for prompts that are conversations."
        },
    )
