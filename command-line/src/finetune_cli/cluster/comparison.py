# SPDX-License-Identifier: Apache-2.0
"""Compares the specs and results of two jobs. No I/O here."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from finetune_contract.printable import on_one_line

Body = Mapping[str, Any]

FIGURES = {
    "loss": "loss",
    "evalLoss": "eval loss",
    "baseEvalLoss": "eval loss before",
    "tokensPerSecond": "tokens/s",
    "step": "steps",
}
NOTHING = "-"


def compare(one: Body, other: Body) -> str:
    """A table with a row for each field of the spec that differs, and for each figure."""
    rows = [("", *(job["metadata"]["name"] for job in (one, other)))]
    rows += [("phase", *(_status(job).get("phase", NOTHING) for job in (one, other)))]
    rows += [("run", *(_status(job).get("runId", NOTHING) for job in (one, other)))]
    rows += differences(one["spec"], other["spec"])
    for key, name in FIGURES.items():
        found = [_status(job).get("progress", {}).get(key) for job in (one, other)]
        if any(value is not None for value in found):
            rows.append((name, *(_number(value) for value in found)))
    hours = [_status(job).get("gpuHours", {}).get("used") for job in (one, other)]
    if any(hours):
        rows.append(("GPU hours", *(_number(value) for value in hours)))
    rows = [tuple(map(on_one_line, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}".rstrip() for row in rows
    )


def differences(one: Body, other: Body, path: str = "") -> list[tuple[str, str, str]]:
    """Each field that differs, with both values; lists count as one value."""
    return list(_differences(one, other, path))


def _differences(one: Body, other: Body, path: str) -> Iterator[tuple[str, str, str]]:
    for name in (*one, *(name for name in other if name not in one)):
        left, right = one.get(name), other.get(name)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            yield from _differences(left, right, f"{path}{name}.")
        elif left != right or (name in one) != (name in other):
            yield f"{path}{name}", _value(one, name), _value(other, name)


def _value(side: Body, name: str) -> str:
    if name not in side:
        return NOTHING
    text = yaml.safe_dump(side[name], default_flow_style=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _status(job: Body) -> Body:
    status: Body = job.get("status", {})
    return status


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.6g}"
