# SPDX-License-Identifier: Apache-2.0
"""Progress: what a running trainer reports every few seconds. No I/O here.

The body holds what `transformers`' stock `KubeflowCallback` posts (`trainerStatus`) and, beside it,
our own fields (`progress`). A reader takes ours where they are, the stock ones otherwise; so an
image without our code reports too.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from finetune_contract.answers import Answer, parse_answers
from finetune_contract.documents import InvalidDocument, optional, parse_object, require

MAX_METRICS = 16
MAX_METRIC_NAME = 64
"""Characters. Whoever has a job's token may post anything, and all of it would lie in etcd."""


class TrainerPhase(StrEnum):
    """The supervisor's steps, in order."""

    FETCHING = "Fetching"
    CHECKING = "Checking"
    TRAINING = "Training"
    VERIFYING = "Verifying"
    PUBLISHING = "Publishing"

    @classmethod
    def named(cls, text: object) -> "TrainerPhase | None":
        """The phase of this name; None for one that only another version knows, and for none."""
        return next((phase for phase in cls if phase == text), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an attempt stands. A field that is not known is None."""

    phase: TrainerPhase = TrainerPhase.TRAINING
    attempt: int | None = None
    step: int | None = None
    total_steps: int | None = None
    stock_percent: int | None = None
    """What a stock trainer says in place of its steps when it ends."""
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    base_eval_loss: float | None = None
    """The evaluation loss before the first step: that of the base model."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What else the newest evaluation found, a user's own metrics among it; see `bounded`."""
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: int | None = None
    resumed_from_step: int | None = None
    checkpoint_step: int | None = None
    world_size: int | None = None
    estimated_memory_bytes: int | None = None
    """What the trainer expects each process to need on its GPU."""
    peak_memory_bytes: int | None = None
    """The most that a process had allocated on its GPU so far."""
    answers: tuple[Answer, ...] = ()
    """To held-out prompts, before and after training; known when the artifact is."""

    @property
    def percent(self) -> int | None:
        """Whole percents of the optimizer steps, rounded down: 100 only when all are done."""
        if self.step is None or not self.total_steps:
            return None
        return min(100, self.step * 100 // self.total_steps)

    def to_body(self) -> bytes:
        """The body that is posted; non-finite figures are left out, since JSON has no NaN."""
        ours = {
            "phase": self.phase.value,
            "attempt": self.attempt,
            "step": self.step,
            "totalSteps": self.total_steps,
            "epoch": self.epoch,
            "loss": self.loss,
            "evalLoss": self.eval_loss,
            "baseEvalLoss": self.base_eval_loss,
            "metrics": bounded(self.metrics) or None,
            "learningRate": self.learning_rate,
            "tokensPerSecond": self.tokens_per_second,
            "etaSeconds": self.eta_seconds,
            "resumedFromStep": self.resumed_from_step,
            "checkpointStep": self.checkpoint_step,
            "worldSize": self.world_size,
            "memory": self._memory() or None,
            "answers": [answer.to_document() for answer in self.answers] or None,
        }
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

    def _memory(self) -> dict[str, int]:
        memory = {
            "estimatedBytes": self.estimated_memory_bytes,
            "peakBytes": self.peak_memory_bytes,
        }
        return {name: value for name, value in memory.items() if value is not None}

    @classmethod
    def from_body(cls, body: bytes) -> "Progress":
        """
        Raises:
            InvalidDocument: neither our fields nor the stock ones are there, or one is mistyped.
        """
        document = parse_object(body, "progress")
        if (ours := optional(document, "progress", dict)) is not None:
            return _parse_ours(ours)
        return _parse_stock(require(document, "trainerStatus", dict))


def bounded(metrics: Mapping[Any, Any]) -> dict[str, float]:
    """The first of these metrics that have a short name and a finite number; not too many."""
    sayable = {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(name, str)
        and 0 < len(name) <= MAX_METRIC_NAME
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and _is_finite(value)
    }
    return dict(list(sayable.items())[:MAX_METRICS])


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _parse_ours(document: Mapping[str, Any]) -> Progress:
    phase = require(document, "phase", str)
    if phase not in set(TrainerPhase):
        raise InvalidDocument(f"phase is {phase!r}, expected one of {', '.join(TrainerPhase)}")
    memory = optional(document, "memory", dict) or {}
    return Progress(
        phase=TrainerPhase(phase),
        attempt=optional(document, "attempt", int),
        step=optional(document, "step", int),
        total_steps=optional(document, "totalSteps", int),
        epoch=optional(document, "epoch", float),
        loss=optional(document, "loss", float),
        eval_loss=optional(document, "evalLoss", float),
        base_eval_loss=optional(document, "baseEvalLoss", float),
        metrics=bounded(optional(document, "metrics", dict) or {}),
        learning_rate=optional(document, "learningRate", float),
        tokens_per_second=optional(document, "tokensPerSecond", float),
        eta_seconds=optional(document, "etaSeconds", int),
        resumed_from_step=optional(document, "resumedFromStep", int),
        checkpoint_step=optional(document, "checkpointStep", int),
        world_size=optional(document, "worldSize", int),
        estimated_memory_bytes=optional(memory, "estimatedBytes", int),
        peak_memory_bytes=optional(memory, "peakBytes", int),
        answers=parse_answers(optional(document, "answers", list) or []),
    )


def _parse_stock(document: Mapping[str, Any]) -> Progress:
    """`KubeflowCallback` (transformers >= 5.4) sends every metric as a string."""
    metrics = {
        str(metric.get("name")): _number(metric.get("value"))
        for metric in optional(document, "metrics", list) or []
        if isinstance(metric, dict)
    }
    total = metrics.get("total_steps")
    percent = optional(document, "progressPercentage", int)
    step = metrics.get("current_step", metrics.get("global_step"))
    if step is None and total and percent is not None:
        step = total * percent // 100
    return Progress(
        step=None if step is None else int(step),
        total_steps=None if total is None else int(total),
        stock_percent=percent if step is None else None,
        epoch=metrics.get("epoch", metrics.get("current_epoch")),
        loss=metrics.get("loss"),
        eval_loss=metrics.get("eval_loss"),
        learning_rate=metrics.get("learning_rate"),
        eta_seconds=optional(document, "estimatedRemainingSeconds", int),
    )


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_sayable(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))
