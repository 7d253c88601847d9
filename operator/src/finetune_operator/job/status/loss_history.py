# SPDX-License-Identifier: Apache-2.0
"""`status.lossHistory`: a curve of bounded size, for users without a tracker. No I/O here."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from finetune_operator.objects.raw import Manifest

MAX_POINTS = 64


def with_point(
    history: Sequence[Mapping[str, Any]], step: int | None, loss: float | None
) -> list[Manifest]:
    """The curve with its newest point, down-sampled if full; unchanged without a new point.

    Points at this step or later come from an attempt that got further than the checkpoint which
    this one resumed from: these steps are trained again.
    """
    if step is None or loss is None:
        return [dict(point) for point in history]
    kept = [dict(point) for point in history if point["step"] < step]
    return _thinned([*kept, {"step": step, "loss": loss}])


def resumed_from(history: Sequence[Mapping[str, Any]], step: int | None) -> list[Mapping[str, Any]]:
    """The part of the curve that remains valid for an attempt that begins after this step."""
    return [point for point in history if step is None or point["step"] <= step]


def _thinned(points: list[Manifest]) -> list[Manifest]:
    """Without the points with the smallest gaps; the first and the last stay."""
    while len(points) > MAX_POINTS:
        steps = [point["step"] for point in points]
        gaps = [after - before for before, after in pairwise(steps)]
        left = [one + next_one for one, next_one in pairwise(gaps)]
        del points[left.index(min(left)) + 1]
    return points
