# SPDX-License-Identifier: Apache-2.0
"""`status.gpuHours`: the GPU hours of ended attempts, and the wasted part.

No I/O here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.objects.raw import Manifest

DIGITS = 4
"""A ten-thousandth of an hour is less than a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHours:
    """A sum over attempts."""

    used: float = 0.0
    wasted: float = 0.0

    def __add__(self, other: "GpuHours") -> "GpuHours":
        return GpuHours(used=self.used + other.used, wasted=self.wasted + other.wasted)


def hours_of(attempt: Attempt) -> GpuHours:
    """The hours of an attempt: its GPUs, from the start of its first pod on a node to its end.

    The wasted part is proportional to the steps that are in no checkpoint and no artifact: zero for
    a successful attempt, `steps lost / steps taken` for others, everything if no step was taken or
    the saved steps are not (yet) known.
    """
    if attempt.end is None or attempt.pods_started is None or not attempt.gpus:
        return GpuHours()
    ran = max(attempt.end - attempt.pods_started, timedelta())
    used = attempt.gpus * ran / timedelta(hours=1)
    return GpuHours(used=used, wasted=used * _wasted_share(attempt))


def next_gpu_hours(
    previous: Mapping[str, Any], attempts: Sequence[Attempt], kept: Sequence[Manifest]
) -> Manifest | None:
    """The sums over all attempts, including those whose records are pruned now or earlier.

    Args:
        previous: the previous status.
        attempts: all that are still recorded.
        kept: those of them whose records stay in the status.
    """
    numbers = {record["number"] for record in kept}
    pruned, listed = _parse(previous.get("pruned", {})), GpuHours()
    for attempt in attempts:
        if attempt.number in numbers:
            listed += hours_of(attempt)
        else:
            pruned += hours_of(attempt)
    everything = _render(pruned + listed)
    if not everything["used"]:
        return None
    return {**everything, "pruned": _render(pruned)} if pruned.used else everything


def _wasted_share(attempt: Attempt) -> float:
    if attempt.result is Result.SUCCEEDED:
        return 0.0
    taken = (attempt.last_step or 0) - (attempt.resumed_from_step or 0)
    if taken <= 0 or attempt.steps_lost is None:
        return 1.0
    return min(1.0, attempt.steps_lost / taken)


def _parse(sums: Mapping[str, Any]) -> GpuHours:
    return GpuHours(used=sums.get("used", 0.0), wasted=sums.get("wasted", 0.0))


def _render(hours: GpuHours) -> Manifest:
    return {"used": round(hours.used, DIGITS), "wasted": round(hours.wasted, DIGITS)}
