# SPDX-License-Identifier: Apache-2.0
"""How processes train together, and how they resume from a checkpoint that others have written.

A checkpoint's manifest contains the topology that wrote it. The schedule, the order of the data and
the total are all counted in steps. So a world of another size keeps the rows per step, by more or
less accumulation. If that is impossible, or if the checkpoint has one part per process, it is
refused before anything is loaded.
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
    """The processes that take a step together."""

    world_size: int
    strategy: str
    """`one process`, `DDP`, `FSDP2`, `ZeRO-3`."""
    rows_per_step: int
    is_guessed: bool = False
    """Whether a file determines how they share the work, which only the ranks read."""

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
        """None for a checkpoint without a recorded topology."""
        size, strategy = facts.get("worldSize"), facts.get("strategy")
        rows = facts.get("rowsPerStep")
        if not isinstance(size, int) or not isinstance(strategy, str) or not isinstance(rows, int):
            return None
        return cls(world_size=size, strategy=strategy, rows_per_step=rows)


def topology_of(config: SftConfig, world: World) -> Topology:
    """The topology that a checked config gives these processes."""
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
        AttemptFailed: the config needs DeepSpeed, which this image lacks.
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
    """The run as these processes resume it from a checkpoint of any topology.

    Raises:
        AttemptFailed: they cannot resume it.
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
    """The number of batches to accumulate so that the rows per step stay the same.

    Raises:
        AttemptFailed: these processes cannot resume this checkpoint.
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
    """A short description of a checkpoint."""
    return "whole" if topology.strategy in _UNSHARDED else topology.strategy


def _refusal(message: str, written: Topology) -> AttemptFailed:
    return attempt_failed(
        Reason.WORLD_SIZE_CHANGED,
        message,
        f"give the job {written.world_size} processes again, in spec.resources nodes and "
        "gpusPerNode, or start from the beginning with another spec.runToken",
    )


def adopt_random_states(checkpoint: Path, world_size: int) -> None:
    """Gives each of this many ranks the random states of an existing one.

    They determine the order of the data, and all ranks must use the same.
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
    """Each rank's file, with its name in transformers."""
    if world_size == 1:
        yield 0, "rng_state.pth"
    else:
        yield from ((rank, f"rng_state_{rank}.pth") for rank in range(world_size))
