# SPDX-License-Identifier: Apache-2.0
"""`status.progress`: from a trainer's reports, and at the end from its outcome. No I/O here."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from finetune_contract.limits import TEN_YEARS
from finetune_contract.outcome import Outcome
from finetune_contract.progress import Progress, TrainerPhase, bounded
from finetune_operator.job.status.loss_history import resumed_from, with_point
from finetune_operator.job.status.unsaved import render_unsaved, without_saved
from finetune_operator.objects.raw import Manifest
from finetune_operator.objects.times import parse_time, render_time
from finetune_spec.quantities import render_bytes, render_duration

OLDEST_UNDER_WAY = timedelta(seconds=30)
"""How long a report may be delayed in a replica, including clock differences."""

SIGNIFICANT_DIGITS = 5
"""Enough for a reader of `kubectl get`."""


def render_progress(progress: Progress, attempt: int, now: datetime) -> Manifest:
    """A merge patch for `status.progress`: fields without a (current) value are None."""
    # A longer ETA is capped.
    eta = None if progress.eta_seconds is None else min(progress.eta_seconds, TEN_YEARS)
    return {
        "attempt": attempt,
        "phase": progress.phase.value,
        "doing": progress.doing,
        "percent": progress.percent,
        "step": progress.step,
        "totalSteps": progress.total_steps,
        "epoch": _rounded(progress.epoch),
        "loss": _rounded(progress.loss),
        "evalLoss": _rounded(progress.eval_loss),
        "baseEvalLoss": _rounded(progress.base_eval_loss),
        "metrics": _rendered_metrics(progress.metrics),
        "learningRate": _rounded(progress.learning_rate),
        "tokensPerSecond": _rounded(progress.tokens_per_second),
        "eta": None if eta is None else render_duration(eta),
        "worldSize": progress.world_size,
        "microBatch": progress.micro_batch,
        "checkpointStep": progress.checkpoint_step,
        "unsaved": render_unsaved(progress.unsaved, now),
        "resumedFromStep": progress.resumed_from_step,
        "updated": render_time(now),
    }


def render_memory(estimated_bytes: int | None, peak_bytes: int | None) -> Manifest:
    """`status.memory`, as far as known, in the unit in which GPUs are compared."""
    known = {"estimated": estimated_bytes, "peak": peak_bytes}
    return {name: render_bytes(number) for name, number in known.items() if number}


def with_outcome(previous: Mapping[str, Any], outcome: Outcome, attempt: int) -> Manifest:
    """The attempt's last reported figures, corrected by those of the outcome."""
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
        "baseEvalLoss": _rounded(figures.get("base_eval_loss")),
        "metrics": _rendered_metrics(_metrics_in(figures)),
        "epoch": _rounded(figures.get("epoch")),
        "worldSize": outcome.world_size or None,
        "checkpointStep": outcome.checkpoint_step,
        "resumedFromStep": outcome.resumed_from_step,
    }
    told = {**reported, **{name: value for name, value in known.items() if value is not None}}
    told.pop("doing", None)  # Nothing is running any more.
    return without_saved(told, outcome)


def without_eta(progress: Mapping[str, Any]) -> Manifest:
    """For an ended attempt: nothing remains to wait for."""
    return {name: value for name, value in progress.items() if name != "eta"}


def _metrics_in(figures: Mapping[str, float]) -> Mapping[str, float]:
    """Evaluation figures, without those that have a field of their own."""
    return {
        name: value
        for name, value in figures.items()
        if name.startswith("eval_") and name != "eval_loss"
    }


def _rendered_metrics(metrics: Mapping[str, float]) -> Manifest | None:
    return {name: _rounded(value) for name, value in bounded(metrics).items()} or None


def _rounded(value: float | None) -> float | None:
    if value is None:
        return None
    rounded = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    # The largest floats are rounded up to infinity, which JSON cannot represent.
    return rounded if math.isfinite(rounded) else value


def with_known_steps(status: Mapping[str, Any], attempt: int, progress: Progress) -> Progress:
    """A stock trainer ends without steps: earlier ones and its percentage determine them."""
    written = status.get("progress", {})
    total = written.get("totalSteps")
    if progress.stock_percent is None or written.get("attempt") != attempt or total is None:
        return progress
    return replace(progress, step=total * progress.stock_percent // 100, total_steps=total)


def reaches_end(status: Mapping[str, Any], attempt: int, progress: Progress) -> bool:
    """Whether a report is the first with all steps taken."""
    told = with_known_steps(status, attempt, progress)
    if not told.total_steps or (told.step or 0) < told.total_steps:
        return False
    written = status.get("progress", {})
    step: int = written.get("step", 0) if written.get("attempt") == attempt else 0
    return step < told.total_steps


def brings_answers(status: Mapping[str, Any], progress: Progress) -> bool:
    """Whether a report is the first with answers of the trained model."""
    return bool(progress.answers) and "answers" not in status


def is_news(status: Mapping[str, Any], attempt: int, progress: Progress, heard: datetime) -> bool:
    """Whether a report of this attempt still belongs into the status.

    For an ended attempt only if it has later steps, because the trainer was then killed before it
    could report them itself, or answers, which do not fit into its outcome.
    """
    attempts = status.get("attempts", ())
    newest = attempts[-1] if attempts else None
    if newest is not None and newest["number"] > attempt:
        return False
    written = status.get("progress", {})
    if written.get("attempt") == attempt and _is_overtaken(written, progress, heard):
        return False
    if newest is None or newest["number"] < attempt:
        return True
    return not _is_told_whole(newest, progress) or brings_answers(status, progress)


def _is_told_whole(record: Mapping[str, Any], progress: Progress) -> bool:
    """Whether the outcome of this attempt contains everything that a report of it does."""
    return "endTime" in record and (progress.step or 0) <= (record.get("lastStep") or 0)


def _is_overtaken(written: Mapping[str, Any], progress: Progress, heard: datetime) -> bool:
    """Whether the same attempt has reported more already, possibly through another replica.

    A pod that was replaced inside its attempt begins at a lower step. It is accepted immediately if
    it reports its first step. A stock trainer does not, and is accepted once no older report can
    still arrive.
    """
    position = _position(progress.phase, progress.step)
    if position >= _position(TrainerPhase.named(written.get("phase")), written.get("step")):
        return False
    beginning = progress.resumed_from_step
    began_anew = beginning is not None and beginning != written.get("resumedFromStep")
    patience = timedelta() if began_anew else OLDEST_UNDER_WAY
    return "updated" in written and heard < parse_time(written["updated"]) + patience


def _position(phase: TrainerPhase | None, step: int | None) -> tuple[int, int]:
    return (-1 if phase is None else list(TrainerPhase).index(phase), step or 0)


def report_patch(
    status: Mapping[str, Any], attempt: int, progress: Progress, heard: datetime
) -> Manifest:
    """The merge patch that writes a report into the status: one write for all fields."""
    answers = [answer.to_document() for answer in progress.answers]
    patch: Manifest = {"answers": answers} if answers else {}
    own: Mapping[str, Any] = next(
        (record for record in status.get("attempts", ()) if record["number"] == attempt), {}
    )
    if _is_told_whole(own, progress):
        return patch
    patch["progress"] = render_progress(progress, attempt, heard)
    if "endTime" in own:
        patch["progress"] = without_eta(patch["progress"])
    if memory := render_memory(progress.memory.estimated_bytes, progress.memory.peak_bytes):
        patch["memory"] = memory
    before = status.get("lossHistory", [])
    written, beginning = status.get("progress", {}), progress.resumed_from_step
    is_same = (written.get("attempt"), written.get("resumedFromStep")) == (attempt, beginning)
    valid = before if is_same else resumed_from(before, beginning)
    history = with_point(valid, progress.step, _rounded(progress.loss))
    if history != before:
        patch["lossHistory"] = history
    return patch
