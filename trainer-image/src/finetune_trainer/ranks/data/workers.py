# SPDX-License-Identifier: Apache-2.0
"""The number of processes that prepare rows in parallel. The rows and their order do not depend on
it.
"""

from collections.abc import Callable

ROWS_PER_WORKER = 1000
"""One process handles fewer rows before another one has started."""

Workers = Callable[[int], int | None]
"""The number of processes for this many rows; None for the calling process."""


def alone(rows: int) -> int | None:
    """The calling process, for any number of rows."""
    del rows
    return None


def workers(given: int | None, cpus: int) -> Workers:
    """`dataset_num_proc` processes, or the number that CPUs and rows justify."""

    def count(rows: int) -> int | None:
        if given is not None:
            return given
        found = min(cpus, rows // ROWS_PER_WORKER)
        return found if found > 1 else None

    return count
