# SPDX-License-Identifier: Apache-2.0
"""`status.progress`: from what a trainer reports, and at the end from its outcome. No I/O here."""

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
"""How long a report may be held up in a replica, clocks that differ included."""

SIGNIFICANT_DIGITS = 5
"""As many as a reader of `kubectl get` has a use for."""


def render_progress(progress: Progress, attempt: int, now: datetime) -> Manifest:
    """A merge patch for `status.progress`: fields that are not known (any more) are None."""
    # What takes longer is not known to end at all.
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
        "baseEvalLoss": _rounded(figures.get("base_eval_loss")),
        "metrics": _rendered_metrics(_metrics_in(figures)),
        "epoch": _rounded(figures.get("epoch")),
        "worldSize": outcome.world_size or None,
        "checkpointStep": outcome.checkpoint_step,
        "resumedFromStep": outcome.resumed_from_step,
    }
    told = {**reported, **{name: value for name, value in known.items() if value is not None}}
    told.pop("doing", None)  # nothing is being done any more
    return without_saved(told, outcome)


def without_eta(progress: Mapping[str, Any]) -> Manifest:
    """For an attempt that is over: nothing remains to be waited for."""
    return {name: value for name, value in progress.items() if name != "eta"}


def _metrics_in(figures: Mapping[str, float]) -> Mapping[str, float]:
    """What evaluations found, but for what has a field of its own."""
    return {
        name: value
        for name, value in figures.items()
        if name.startswith("eval_") and name != "eval_loss"
    }


def _rendered_metrics(metrics: Mapping[str, float]) -> Manifest | None:
    return {name: _rounded(value) for name, value in bounded(metrics).items()} or None


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def with_known_steps(status: Mapping[str, Any], attempt: int, progress: Progress) -> Progress:
    """A stock trainer names no steps when it ends: of those that it told before, its percentage."""
    written = status.get("progress", {})
    total = written.get("totalSteps")
    if progress.stock_percent is None or written.get("attempt") != attempt or total is None:
        return progress
    return replace(progress, step=total * progress.stock_percent // 100, total_steps=total)


def reaches_end(status: Mapping[str, Any], attempt: int, progress: Progress) -> bool:
    """Whether a report is the first to say that all steps were taken."""
    told = with_known_steps(status, attempt, progress)
    if not told.total_steps or (told.step or 0) < told.total_steps:
        return False
    written = status.get("progress", {})
    step: int = written.get("step", 0) if written.get("attempt") == attempt else 0
    return step < told.total_steps


def brings_answers(status: Mapping[str, Any], progress: Progress) -> bool:
    """Whether a report is the first to say how the trained model answers."""
    return bool(progress.answers) and "answers" not in status


def is_news(status: Mapping[str, Any], attempt: int, progress: Progress, heard: datetime) -> bool:
    """Whether a report of this attempt still belongs into the status.

    One of an attempt that has ended does only if it knows of later steps, for then the trainer was
    killed before it could say so itself, or of answers, which its outcome has no room for.
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
    """Whether the outcome of this attempt has told all that a report of it does."""
    return "endTime" in record and (progress.step or 0) <= (record.get("lastStep") or 0)


def _is_overtaken(written: Mapping[str, Any], progress: Progress, heard: datetime) -> bool:
    """Whether the same attempt has told more already, which another replica may have written.

    A pod that was replaced inside its attempt begins lower. Where it says from which step, it is
    believed at once; a stock trainer does not, and is once nothing older can still be under way.
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
    """The merge patch of the status that a report makes: all of it in one write."""
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
