# SPDX-License-Identifier: Apache-2.0
"""How processes train together, and going on from a checkpoint that others have written.

A checkpoint's manifest holds the topology that wrote it. Steps are the unit of everything: the
schedule, the order of the data, the total. So a world of another size keeps the rows of a step, by
accumulating more or less of them; where it can't, or where the checkpoint is in as many parts as
there were processes, it refuses before anything is loaded.
"""

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from finetune_contract.reasons import Reason
from finetune_contract.run import World
from finetune_spec.config import SftConfig
from finetune_spec.memory.ladder import ACCUMULATION
from finetune_spec.memory.sharding import find_sharding
from finetune_trainer.checkpoints.checkpoints import Checkpoint
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.plan.parsed_run import ParsedRun

log = logging.getLogger(__name__)

_ANY_SIZE = ("one process", "DDP", "FSDP2")
"""Strategies whose checkpoints any number of processes can read."""
_UNSHARDED = ("one process", "DDP")

_RANDOM_STATES = re.compile(r"rng_state(?:_(\d+))?\.pth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Who takes a step together."""

    world_size: int
    strategy: str
    """`one process`, `DDP`, `FSDP2`, `ZeRO-3`."""
    rows_per_step: int
    is_guessed: bool = False
    """Whether a file says how they share the work, which only the ranks read."""

    def __str__(self) -> str:
        if self.world_size == 1 and self.strategy in _UNSHARDED:
            return "one process"
        noun = "process" if self.world_size == 1 else "processes"
        return f"{self.strategy} over {self.world_size} {noun}"

    def to_facts(self) -> Mapping[str, Any]:
        return {
            "worldSize": self.world_size,
            "strategy": self.strategy,
            "rowsPerStep": self.rows_per_step,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Topology | None":
        """None for a checkpoint of before topologies were written down."""
        size, strategy = facts.get("worldSize"), facts.get("strategy")
        rows = facts.get("rowsPerStep")
        if not isinstance(size, int) or not isinstance(strategy, str) or not isinstance(rows, int):
            return None
        return cls(world_size=size, strategy=strategy, rows_per_step=rows)


def topology_of(config: SftConfig, world: World) -> Topology:
    """The topology that a checked config makes of these processes."""
    sharding = find_sharding(config, world.size)
    return Topology(
        world_size=world.size,
        strategy=sharding.name,
        rows_per_step=config.effective_batch(world.size),
        is_guessed=sharding.is_guessed,
    )


def require_deepspeed(config: SftConfig, *, is_there: bool | None = None) -> None:
    """
    Raises:
        AttemptFailed: the config wants DeepSpeed, and this image is without it.
    """
    if is_there is None:
        is_there = find_spec("deepspeed") is not None
    if config["deepspeed"] and not is_there:
        raise attempt_failed(
            Reason.DEEPSPEED_NOT_INSTALLED,
            "the config requires DeepSpeed, but this trainer image lacks the package deepspeed",
            "write accelerate_config: fsdp2, which shards weights, gradients and optimizer as "
            "ZeRO-3 does, or set spec.image to an image that also has deepspeed",
        )


def go_on(run: ParsedRun, resume: Checkpoint) -> ParsedRun:
    """The run as these processes take it up from a checkpoint, whoever has written that.

    Raises:
        AttemptFailed: they can't.
    """
    written = Topology.from_facts(resume.facts)
    if written is None:
        return run
    accumulated = accumulation_to_go_on(run.config, run.world, written, resume.step)
    if written.world_size != run.world.size:
        log.warning(
            "resuming from %s with %s, %d rows a step as before",
            written,
            topology_of(run.config, run.world),
            written.rows_per_step,
        )
        adopt_random_states(resume.folder, run.world.size)
    if accumulated == run.config[ACCUMULATION]:
        return run
    return run.adjusted({ACCUMULATION: accumulated})


def accumulation_to_go_on(config: SftConfig, world: World, written: Topology, step: int) -> int:
    """How many batches to accumulate so that a step has as many rows as it had.

    Raises:
        AttemptFailed: these processes can't go on from what those have written.
    """
    now = topology_of(config, world)
    if _kind(written) != _kind(now) or (
        written.world_size != now.world_size and now.strategy not in _ANY_SIZE
    ):
        raise _refusal(
            f"the checkpoint of step {step} was written by {written}, which {now} cannot read",
            written,
        )
    batch: int = now.rows_per_step // config[ACCUMULATION]
    accumulated, rest = divmod(written.rows_per_step, batch)
    if rest or not accumulated:
        raise _refusal(
            f"step {step} was reached with {written.rows_per_step} rows a step by {written}, and "
            f"{now.world_size} processes take {batch} rows at a time, which does not divide a "
            "step",
            written,
        )
    return accumulated


def _kind(topology: Topology) -> str:
    """What a checkpoint looks like."""
    return "whole" if topology.strategy in _UNSHARDED else topology.strategy


def _refusal(message: str, written: Topology) -> AttemptFailed:
    return attempt_failed(
        Reason.WORLD_SIZE_CHANGED,
        message,
        f"give the job {written.world_size} processes again, in spec.resources nodes and "
        "gpusPerNode, or start from the beginning with another spec.runToken",
    )


def adopt_random_states(checkpoint: Path, world_size: int) -> None:
    """Give each of so many ranks the random states of one that was there.

    The order of the data is drawn from them, and all ranks must draw the same.
    """
    for folder in {path.parent for path in checkpoint.rglob("rng_state*.pth")}:
        there = {
            int(match[1] or 0): path
            for path in folder.iterdir()
            if (match := _RANDOM_STATES.fullmatch(path.name))
        }
        for rank, name in _names(world_size):
            if not (folder / name).exists() and there:
                shutil.copyfile(there.get(rank, there[min(there)]), folder / name)


def _names(world_size: int) -> Iterator[tuple[int, str]]:
    """Each rank's file, as transformers names it."""
    if world_size == 1:
        yield 0, "rng_state.pth"
    else:
        yield from ((rank, f"rng_state_{rank}.pth") for rank in range(world_size))
