# SPDX-License-Identifier: Apache-2.0
"""`status.progress`: from what a trainer reports, and at the end from its outcome. No I/O here."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.memory.quantity import render_bytes
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase
from finetune_operator.manifest import Manifest
from finetune_operator.timestamps import render_duration, render_time

SIGNIFICANT_DIGITS = 5
"""As many as a reader of `kubectl get` has a use for."""


def render_progress(progress: Progress, attempt: int, now: datetime) -> Manifest:
    """A merge patch for `status.progress`: fields that are not known (any more) are None."""
    eta = progress.eta_seconds
    return {
        "attempt": attempt,
        "phase": progress.phase.value,
        "percent": progress.percent,
        "step": progress.step,
        "totalSteps": progress.total_steps,
        "epoch": _rounded(progress.epoch),
        "loss": _rounded(progress.loss),
        "evalLoss": _rounded(progress.eval_loss),
        "learningRate": _rounded(progress.learning_rate),
        "tokensPerSecond": _rounded(progress.tokens_per_second),
        "eta": None if eta is None else render_duration(timedelta(seconds=eta)),
        "worldSize": progress.world_size,
        "checkpointStep": progress.checkpoint_step,
        "resumedFromStep": progress.resumed_from_step,
        "updated": render_time(now),
    }


def render_memory(estimated_bytes: int | None, peak_bytes: int | None) -> Manifest:
    """`status.memory`, as far as it is known: in a unit that people compare GPUs by."""
    known = {"estimated": estimated_bytes, "peak": peak_bytes}
    return {name: render_bytes(number) for name, number in known.items() if number}


def with_outcome(previous: Mapping[str, Any], outcome: Outcome, attempt: int) -> Manifest:
    """The attempt's last reported figures, put right by what the outcome says of its end."""
    reported = previous if previous.get("attempt") == attempt else {}
    figures = outcome.figures or {}
    final = Progress(step=outcome.step, total_steps=outcome.total_steps)
    is_published = outcome.artifact is not None
    known = {
        "attempt": attempt,
        "phase": TrainerPhase.PUBLISHING.value if is_published else None,
        "percent": final.percent,
        "step": outcome.step,
        "totalSteps": outcome.total_steps or None,
        "loss": _rounded(figures.get("loss")),
        "evalLoss": _rounded(figures.get("eval_loss")),
        "epoch": _rounded(figures.get("epoch")),
        "worldSize": outcome.world_size or None,
        "checkpointStep": outcome.checkpoint_step,
        "resumedFromStep": outcome.resumed_from_step,
    }
    return {**reported, **{name: value for name, value in known.items() if value is not None}}


def without_eta(progress: Mapping[str, Any]) -> Manifest:
    """For an attempt that is over: nothing remains to be waited for."""
    return {name: value for name, value in progress.items() if name != "eta"}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def is_news(status: Mapping[str, Any], attempt: int, step: int | None) -> bool:
    """Whether a report of this attempt still belongs into the status.

    One of an attempt that has ended does only if it knows of later steps: then the trainer was
    killed before it could say so itself.
    """
    attempts = status.get("attempts", ())
    newest = attempts[-1] if attempts else None
    if newest is None or newest["number"] < attempt:
        return True
    if newest["number"] > attempt:
        return False
    known_step = newest.get("lastStep") or 0
    return "endTime" not in newest or (step or 0) > known_step
