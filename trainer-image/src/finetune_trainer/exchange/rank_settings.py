# SPDX-License-Identifier: Apache-2.0
"""The supervisor's settings for the ranks, without the config that TRL parses. No I/O here."""

import json
from dataclasses import asdict, dataclass

from finetune_contract.codec import read

LAUNCHER_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""If these are set, torch and accelerate form a process group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSettings:
    """One attempt's settings, the same for every rank of a node."""

    world_size: int
    """The expected size; ranks that find another world fail before the model loads."""
    is_distributed: bool = True
    """Whether the ranks form a process group. A single process needs none: DDP around it would only
    cost time and memory.
    """
    resume_step: int = 0
    """The step of the checkpoint that this node fetched; 0 for a fresh start. Nodes must agree."""
    strategy: str = ""
    """How they share the work: `DDP`, `FSDP2`, `ZeRO-3`; empty if only the ranks can determine
    it.
    """
    gpus: int = 0
    """The GPUs of this node that the ranks train on, one each; 0 for the CPU."""
    cpus: int = 1
    """CPUs of this node; no other work runs there while the data is prepared."""
    measures_base: bool = False
    """Whether `eval_on_start` was added, and must not influence the training."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "RankSettings":
        return read(cls, text, "rank settings", spell=str)
