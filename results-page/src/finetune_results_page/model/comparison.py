# SPDX-License-Identifier: Apache-2.0
"""The differences of several jobs: keys of their specs, and figures of their results."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from finetune_results_page.model.values import (
    TEXT_LENGTH,
    bounded,
    clean,
    mapping_of,
    number_of,
)
from finetune_results_page.model.wording import figure, metric_name

DIFFERENCES: Final = 200
"""The number of differences shown."""

_LEAVES: Final = 5000
METRICS: Final = 16
"""The maximum in a status."""

_LOSSES = ("loss", "evalLoss", "baseEvalLoss")

SpecPath = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One key with the value of each job, None where a job does not set it."""

    key: str
    values: tuple[str | None, ...]


def differences(specs: Sequence[Any]) -> tuple[Difference, ...]:
    """Each key of these specs that is not the same in all of them; the config's keys first.

    A list counts as one value, and so does an empty mapping. 1 equals 1.0, but not true.
    """
    sides = [dict(_leaves(bounded(mapping_of(spec)), ())) for spec in specs]
    paths = dict.fromkeys(path for side in sides for path in side)
    parents = {path[:length] for path in paths for length in range(1, len(path))}
    differing = [
        path
        for path in paths
        if len({_identity(side, path) for side in sides}) > 1
        # The keys show that a mapping is empty.
        and not (path in parents and all(side.get(path, {}) == {} for side in sides))
    ]
    differing.sort(key=lambda path: path[0] != "config")
    return tuple(
        Difference(key=_shown_path(path), values=tuple(_shown(side, path) for side in sides))
        for path in differing
    )


def results(statuses: Sequence[Any]) -> tuple[Difference, ...]:
    """The figures of these jobs by name, in words; those that no job has are left out."""
    named = [dict(figures_of(mapping_of(status))) for status in statuses]
    names = dict.fromkeys(name for figures in named for name in figures)
    return tuple(
        Difference(key=name, values=tuple(figures.get(name) for figures in named)) for name in names
    )


def figures_of(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The measured values of a job with their names in words."""
    progress = mapping_of(status.get("progress"))
    step, total = number_of(progress.get("step")), number_of(progress.get("totalSteps"))
    if step is not None:
        yield "Step", f"{figure(step)} of {figure(total)}" if total is not None else figure(step)
    yield from _numbers({metric_name(name): progress.get(name) for name in _LOSSES})
    yield from metrics_of(status)
    used = mapping_of(status.get("gpuHours")).get("used")
    speed = progress.get("tokensPerSecond")
    yield from _numbers({"Tokens per second": speed, "GPUs": status.get("gpus"), "GPU hours": used})
    if peak := clean(mapping_of(status.get("memory")).get("peak"), 40):
        yield "Peak GPU memory", peak


def metrics_of(status: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Further values of the newest evaluation, those of a user's metric function included."""
    metrics = mapping_of(mapping_of(status.get("progress")).get("metrics"))
    numbers = [(str(name), number_of(value)) for name, value in metrics.items()]
    shown = [(metric_name(name), value) for name, value in numbers if value is not None]
    yield from ((name, figure(value)) for name, value in shown[:METRICS])


def _numbers(values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if (number := number_of(value)) is not None:
            yield name, figure(number)


def _leaves(value: Any, path: SpecPath) -> Iterator[tuple[SpecPath, Any]]:
    waiting: list[tuple[SpecPath, Any]] = [(path, value)]
    passed = 0
    while waiting and passed < _LEAVES:
        here, found = waiting.pop()
        passed += 1
        if isinstance(found, Mapping) and (found or not here):
            waiting += [((*here, key), it) for key, it in reversed(list(found.items()))]
        else:
            yield here, found


def _identity(side: Mapping[SpecPath, Any], path: SpecPath) -> str | None:
    if path not in side:
        return None
    value = side[path]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def _shown(side: Mapping[SpecPath, Any], path: SpecPath) -> str | None:
    if path not in side:
        return None
    value = side[path]
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return clean(text, TEXT_LENGTH)


def _shown_path(path: SpecPath) -> str:
    parts = path[1:] if path[0] == "config" and len(path) > 1 else path
    # A dot in a key does not separate keys.
    return clean(".".join(json.dumps(part) if "." in part else part for part in parts), 120)
