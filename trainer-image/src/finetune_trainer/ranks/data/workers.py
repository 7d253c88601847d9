# SPDX-License-Identifier: Apache-2.0
"""How many processes prepare rows side by side. The rows and their order are the same for any."""

from collections.abc import Callable

ROWS_PER_WORKER = 1000
"""Fewer are done by one process before another one has begun."""

Workers = Callable[[int], int | None]
"""The processes for so many rows; None for the one that asks."""


def alone(rows: int) -> int | None:
    """The process that asks, however many there are."""
    del rows
    return None


def workers(given: int | None, cpus: int) -> Workers:
    """As many as `dataset_num_proc` says, or as the node has CPUs and the rows are worth."""

    def count(rows: int) -> int | None:
        if given is not None:
            return given
        found = min(cpus, rows // ROWS_PER_WORKER)
        return found if found > 1 else None

    return count
