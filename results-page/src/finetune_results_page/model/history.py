# SPDX-License-Identifier: Apache-2.0
"""The loss of a job by step, from its status."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from finetune_results_page.model.values import entries_of, mapping_of, number_of

POINTS: Final = 128
"""Limit for one curve. The operator writes at most 64."""


class Point(NamedTuple):
    step: int
    loss: float


LossCurve = tuple[Point, ...]


def curve_of(job: Any) -> LossCurve:
    """Rising steps, each with a finite loss; for a repeated step, the later value."""
    status = mapping_of(mapping_of(job).get("status"))
    losses: dict[int, float] = {}
    for entry in entries_of(status.get("lossHistory")):
        point = _point_of(entry)
        if point is not None:
            losses[point.step] = point.loss
    points = [Point(step, losses[step]) for step in sorted(losses)]
    return tuple(_thinned(points))


def _point_of(entry: Mapping[str, Any]) -> Point | None:
    step, loss = number_of(entry.get("step")), number_of(entry.get("loss"))
    if step is None or loss is None or not 0 <= step <= 1e12:
        return None
    return Point(int(step), loss)


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= POINTS:
        return points
    last = len(points) - 1
    return [points[round(index * last / (POINTS - 1))] for index in range(POINTS)]
