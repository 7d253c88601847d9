# SPDX-License-Identifier: Apache-2.0
"""The changes that make a config fit a GPU, from the rungs of `ladder`. No I/O here."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import Problem, warning
from finetune_spec.memory import (
    Architecture,
    Estimate,
    UnreadableModel,
    estimate_memory,
    ladder,
    parse_model,
)
from finetune_spec.memory.ladder import BATCH, SMALLER_BATCH, ConfigChanges, Rung
from finetune_spec.memory.micro_batch import find_divisors, settle
from finetune_spec.quantities import render_bytes

Taken = Mapping[Rung, ConfigChanges]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Keys to set, and the memory that the config then needs."""

    settings: ConfigChanges
    estimate: Estimate

    def __str__(self) -> str:
        told = ladder.render_settings(self.settings, ": ")
        return f"set {told} ({render_bytes(self.estimate.total)})"


def propose(
    config: SftConfig, model: Architecture, context: Context, gpu_bytes: int
) -> Proposal | None:
    """The least harmful changes that make it fit, or None if no changes are sufficient."""

    def needs(taken: Taken) -> Estimate:
        return estimate_memory(_with(config, taken), model, context)

    taken: Taken = {}
    while not taken or needs(taken).total > gpu_bytes:
        rungs = ladder.find_rungs(_with(config, taken), context)
        step = next(((rung, new) for rung, new in rungs if rung.is_planned), None)
        if step is None:
            return None
        taken = {**taken, step[0]: step[1]}
    kept = _spare(config, taken, lambda fewer: needs(fewer).total <= gpu_bytes)
    settings = {key: value for changes in kept.values() for key, value in changes.items()}
    return Proposal(settings=ladder.spell(config, settings), estimate=needs(kept))


def advise_on_memory(
    path: str, config: SftConfig, context: Context, gpu_bytes: int | None
) -> Iterator[Problem]:
    """Warns if a known model needs more than the known GPUs have.

    `path` is the config's own.
    """
    if gpu_bytes is None or context.model is None or context.gpus_per_node == 0:
        return
    try:
        model = parse_model(context.model)
    except UnreadableModel:
        return
    config = settle(config, model, context, gpu_bytes)
    needed = estimate_memory(config, model, context).total
    if needed > gpu_bytes:
        yield warning(
            path,
            f"needs an estimated {render_bytes(needed)} on each GPU, but these have "
            f"{render_bytes(gpu_bytes)}: {describe(propose(config, model, context, gpu_bytes))}",
        )


def describe(proposal: Proposal | None) -> str:
    if proposal is not None:
        return str(proposal)
    return "request larger GPUs, or shard the model across more of them with fsdp or deepspeed"


def _spare(config: SftConfig, taken: Taken, fits: Callable[[Taken], bool]) -> Taken:
    """Without unnecessary rungs, and with the largest batch that fits."""
    kept = taken
    for needless in reversed(list(taken)):
        without = {rung: settings for rung, settings in kept.items() if rung is not needless}
        if without and fits(without):
            kept = without
    if SMALLER_BATCH not in kept:
        return kept
    batches = (ladder.split_batch(config, n) for n in find_divisors(config[BATCH])[1:])
    candidates = ({**kept, SMALLER_BATCH: batch} for batch in batches)
    return next(candidate for candidate in candidates if fits(candidate))


def _with(config: SftConfig, taken: Taken) -> SftConfig:
    changes = {key: value for settings in taken.values() for key, value in settings.items()}
    return config.adjusted(changes)
