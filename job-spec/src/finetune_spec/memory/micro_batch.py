# SPDX-License-Identifier: Apache-2.0
"""Micro-batches with the same effective batch, and the number of rows that fits. No I/O here.

The rows of a process per step are the micro-batch times the accumulation. Any other two factors
give the same step: `per_device_train_batch_size: auto` leaves the choice to the available memory.
"""

from collections.abc import Iterator
from math import isqrt

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.memory import Architecture, estimate_memory
from finetune_spec.memory.ladder import ACCUMULATION, BATCH, ConfigChanges, spell

SHARE = 0.9
"""The share of a GPU's memory that an estimate may fill by default: the rest covers its error."""

_MOST_ROWS = 10**7
"""The largest number whose divisors are searched, up to its root."""


def find_divisors(number: int) -> tuple[int, ...]:
    """All divisors, the smallest first; only 1 and itself for a number too large to search."""
    if number > _MOST_ROWS:
        return (1, number)
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    return tuple(sorted({*small, *(number // n for n in small)}))


def rows_of_step(config: SftConfig) -> int:
    """The number of rows that one process takes per step."""
    rows: int = config[BATCH] * config[ACCUMULATION]
    return rows


def same_step(config: SftConfig, rows: int) -> ConfigChanges:
    """The settings for micro-batches of this many rows, which must divide those of a step."""
    return {BATCH: rows, ACCUMULATION: rows_of_step(config) // rows}


def find_micro_batches(config: SftConfig) -> Iterator[ConfigChanges]:
    """All with the same step, the largest first."""
    for rows in reversed(find_divisors(rows_of_step(config))):
        yield same_step(config, rows)


def largest_micro_batch(
    config: SftConfig, model: Architecture, context: Context, gpu_bytes: int
) -> ConfigChanges | None:
    """The largest that fits with room to spare; None if not even single rows fit."""
    for changes in find_micro_batches(config):
        needed = estimate_memory(config.supposing(changes), model, context).total
        if needed <= SHARE * gpu_bytes:
            return changes
    return None


def settle(
    config: SftConfig, model: Architecture, context: Context, gpu_bytes: int | None
) -> SftConfig:
    """The config with a number for an automatic micro-batch: single rows if nothing fits, or if the
    GPU is unknown.
    """
    if not config.has_auto_batch:
        return config
    changes = None
    if gpu_bytes is not None and context.gpus_per_node != 0:
        changes = largest_micro_batch(config, model, context, gpu_bytes)
    return settled(config, 1 if changes is None else changes[BATCH])


def settled(config: SftConfig, rows: int) -> SftConfig:
    """The config with micro-batches of this many rows, which must divide those of a step."""
    return config.adjusted(spell(config, same_step(config, rows)))
