# SPDX-License-Identifier: Apache-2.0
"""Our own config keys for distributed training."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class LaunchArguments:
    """The options of `trl sft`'s command line; the plan resolves them before the ranks start."""

    accelerate_config: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "How the processes share the work: the name of a profile (ddp, fsdp2, zero2, "
            "zero3), or a complete accelerate config. The number of processes is set by the "
            "job."
        },
    )
