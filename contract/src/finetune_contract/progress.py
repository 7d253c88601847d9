# SPDX-License-Identifier: Apache-2.0
"""Progress: the report that a running trainer sends every few seconds. No I/O here.

The body contains the fields of `transformers`' stock `KubeflowCallback` (`trainerStatus`) and our
own fields (`progress`). A reader uses ours if present, and else the stock ones; so an image without
our code reports too.
"""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from finetune_contract.answers import FIRST_ANSWERS, Answer
from finetune_contract.codec import bounded_by, document_of, read_object, require_counts
from finetune_contract.documents import parse_object
from finetune_contract.limits import (
    MAX_COUNT,
    MAX_DOING,
    MAX_METRIC_NAME,
    MAX_METRICS,
    MAX_PROGRESS_BYTES,
    MAX_UNSAVED,
)


class TrainerPhase(StrEnum):
    """The supervisor's steps, in order."""

    FETCHING = "Fetching"
    CHECKING = "Checking"
    TRAINING = "Training"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"

    @classmethod
    def named(cls, text: object) -> "TrainerPhase | None":
        """The phase of this name; None for an unknown one, and for none."""
        return next((phase for phase in cls if phase == text), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMemory:
    """The memory that each process needs on its GPU."""

    estimated_bytes: int | None = None
    """The trainer's estimate."""
    peak_bytes: int | None = None
    """The peak of a process so far."""


def _shortened(text: Any) -> Any:
    return text[:MAX_UNSAVED] if isinstance(text, str) else text


def _shortened_doing(text: Any) -> Any:
    return text[:MAX_DOING] if isinstance(text, str) else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsaved:
    """Checkpoints that could not be uploaded: the last saved one is `Progress.checkpoint_step`."""

    step: int
    """The step of the newest one."""
    seconds: int
    """The time without a successful upload."""
    message: str = field(default="", metadata=bounded_by(_shortened))
    """The reason, in words."""


def _bounded_as_posted(metrics: Any) -> Any:
    return bounded(metrics) if isinstance(metrics, dict) else metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of an attempt. An unknown field is None."""

    phase: TrainerPhase = TrainerPhase.TRAINING
    attempt: int | None = None
    doing: str | None = field(default=None, metadata=bounded_by(_shortened_doing))
    """A slow operation before the first step, with its progress: a download, rows to tokenize."""
    step: int | None = None
    total_steps: int | None = None
    stock_percent: int | None = None
    """A stock trainer's percentage, which it reports at its end instead of steps."""
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    base_eval_loss: float | None = None
    """The evaluation loss before the first step: that of the base model."""
    metrics: Mapping[str, float] = field(
        default_factory=dict, metadata=bounded_by(_bounded_as_posted)
    )
    """Other figures of the newest evaluation, including a user's own metrics; see `bounded`."""
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: int | None = None
    resumed_from_step: int | None = None
    checkpoint_step: int | None = None
    unsaved: Unsaved | None = None
    """None while every checkpoint was uploaded."""
    world_size: int | None = None
    micro_batch: int | None = None
    """Rows of a micro-batch, if the trainer has chosen it."""
    memory: GpuMemory = GpuMemory()
    answers: tuple[Answer, ...] = field(default=(), metadata=FIRST_ANSWERS)
    """Answers to held-out prompts, before and after training; known when the artifact is."""

    @property
    def percent(self) -> int | None:
        """Integer percentage of the optimizer steps, rounded down: 100 only when all are done."""
        if self.step is None or not self.total_steps:
            return None
        return max(0, min(100, self.step * 100 // self.total_steps))

    def to_body(self) -> bytes:
        """The body of the post; non-finite figures are left out, because JSON has no NaN."""
        ours = document_of(self, nulls=False)
        ours["metrics"] = bounded(self.metrics)
        # Only read from stock trainers: ours report their steps.
        ours.pop("stockPercent", None)
        known = {name: value for name, value in ours.items() if _is_sayable(value)}
        stock: dict[str, Any] = {
            "metrics": [
                {"name": name, "value": str(known[field])}
                for name, field in (("loss", "loss"), ("learning_rate", "learningRate"))
                if field in known
            ]
        }
        if self.percent is not None:
            stock["progressPercentage"] = self.percent
        if self.eta_seconds is not None:
            stock["estimatedRemainingSeconds"] = self.eta_seconds
        return json.dumps({"trainerStatus": stock, "progress": known}).encode()

    @classmethod
    def from_body(cls, body: bytes) -> "Progress":
        """
        Raises:
            InvalidDocument: neither our fields nor the stock ones are present, or one is mistyped.
        """
        document = parse_object(body, "progress", MAX_PROGRESS_BYTES)
        if (ours := document.get("progress")) is not None:
            return _bounded_figures(read_object(cls, ours, "progress"))
        stock = read_object(_StockBody, document).trainer_status
        require_counts(stock, "trainerStatus")
        return _bounded_figures(_parse_stock(stock))


def _bounded_figures(progress: Progress) -> Progress:
    """Without NaN values, which count as missing.

    Raises:
        InvalidDocument: a count is too large.
    """
    require_counts(progress, "progress")
    figures = {it.name: getattr(progress, it.name) for it in fields(progress)}
    endless = [name for name, it in figures.items() if type(it) is float and not math.isfinite(it)]
    unknown: dict[str, Any] = dict.fromkeys(endless)
    return replace(progress, **unknown) if unknown else progress


def bounded(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """The first of these metrics with a short name and a finite number, up to the limit."""
    sayable = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(name, str)
        and 0 < len(name) <= MAX_METRIC_NAME
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= sys.float_info.max  # Neither NaN nor an int too large for a float.
    }
    return dict(list(sayable.items())[:MAX_METRICS])


@dataclass(frozen=True, slots=True, kw_only=True)
class _StockStatus:
    """The report of `KubeflowCallback` (transformers >= 5.4): every metric as a string."""

    metrics: tuple[Any, ...] = ()
    progress_percentage: int | None = None
    estimated_remaining_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _StockBody:
    trainer_status: _StockStatus


def _parse_stock(status: _StockStatus) -> Progress:
    metrics = {
        str(metric.get("name")): _number(metric.get("value"))
        for metric in status.metrics
        if isinstance(metric, dict)
    }
    total, percent = _count(metrics.get("total_steps")), _percentage(status.progress_percentage)
    step = _count(metrics.get("current_step", metrics.get("global_step")))
    if step is None and total and percent is not None:
        step = _count(total * percent // 100)
    return Progress(
        step=step,
        total_steps=total,
        stock_percent=percent if step is None else None,
        epoch=metrics.get("epoch", metrics.get("current_epoch")),
        loss=metrics.get("loss"),
        eval_loss=metrics.get("eval_loss"),
        learning_rate=metrics.get("learning_rate"),
        eta_seconds=status.estimated_remaining_seconds,
    )


def _percentage(number: int | None) -> int | None:
    """Steps are computed from it; None for an impossible one."""
    return number if number is not None and 0 <= number <= 100 else None


def _count(number: float | None) -> int | None:
    """A number of steps; None for an impossible number."""
    return None if number is None or abs(number) > MAX_COUNT else int(number)


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_sayable(value: object) -> bool:
    """Whether the value is not empty and JSON can represent it."""
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int or bool(value)
