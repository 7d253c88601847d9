# SPDX-License-Identifier: Apache-2.0
"""next_status: everything that users read in `.status`. No I/O here.

The complete status is computed each time; only the difference is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from finetune_contract.outcome import Artifact, Failure
from finetune_contract.progress import TrainerPhase
from finetune_operator.job.attempts import Attempt, render_attempts
from finetune_operator.job.decide.decision import FINISHED, NEVER_RETRIED
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.definitions import (
    is_same_definition,
    read_definition,
    render_definition,
)
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.job.status.gpu_hours import next_gpu_hours
from finetune_operator.job.status.limit import within_limit
from finetune_operator.job.status.progress import render_memory, with_outcome, without_eta
from finetune_operator.job.status.unsaved import claim_unsaved
from finetune_operator.objects import conditions
from finetune_operator.objects.conditions import Claim
from finetune_operator.objects.names import JobReason, Phase, child_name
from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.objects.times import render_time

_OF_ATTEMPTS = frozenset(
    {
        "phase",
        "observedGeneration",
        "attempt",
        "progress",
        "artifact",
        "notes",
        "gpuHours",
        "attempts",
        "conditions",
    }
)
"""Fields of an attempt that change after a rejected edit; the rest stays unchanged."""


def next_status(
    previous: Mapping[str, Any],
    job: FineTuneJob,
    observed: Observed,
    decision: Decision,
    now: datetime,
) -> Manifest:
    """The complete status after the decision was carried out."""
    gpu_hours = previous.get("gpuHours", {})
    recorded = read_definition(previous)
    # An attempt may have reported before its definition was recorded.
    was_none = recorded is None and bool(observed.earlier) and not job.is_rejected
    if was_none or not is_same_definition(recorded or job.definition, job.definition):
        previous = _of_another_definition(previous)
    attempts = _with_started(observed.attempts, observed.last, job, decision, now)
    newest = attempts[-1] if attempts else None
    last = newest or observed.last
    progress = _next_progress(previous.get("progress", {}), observed)
    artifact = previous.get("artifact")
    if newest is not None and observed.outcome is not None and observed.outcome.artifact:
        artifact = _render_artifact(observed.outcome.artifact)
    is_told = decision.phase in (Phase.FAILED, Phase.RETRYING)
    failure = decision.failure or (newest.failure if newest is not None and is_told else None)
    ended = newest.end if newest is not None and decision.phase in FINISHED else None
    started = observed.started if decision.phase is not Phase.SUSPENDED else None
    told = (*_stopping(observed.earlier, decision), *attempts)
    records = render_attempts(told)
    known = previous.get("conditions", ())
    status = {
        "phase": decision.phase.value,
        "observedGeneration": job.generation,
        "runId": job.run_id,
        **render_definition(job.definition),
        "queue": observed.queue or None,
        "attempt": None if last is None else last.number,
        "gpus": job.resources.gpus,
        "worldSize": _render_world(job, progress, newest),
        "startTime": started and render_time(started),
        "completionTime": ended and render_time(ended),
        "progress": progress or None,
        # Written with the progress; it continues over attempts.
        "lossHistory": previous.get("lossHistory"),
        "answers": previous.get("answers"),
        "memory": _next_memory(previous.get("memory", {}), job, observed) or None,
        "artifact": artifact,
        "notes": _next_notes(previous, observed),
        "failure": None if failure is None else _render_failure(failure, newest),
        "gpuHours": next_gpu_hours(gpu_hours, told, records),
        "attempts": records or None,
        "conditions": conditions.merge(
            known,
            [*_claims(known, job, observed, decision), *claim_unsaved(progress, newest, now)],
            job.generation,
            now,
        ),
    }
    told_now = {name: value for name, value in status.items() if value is not None}
    if job.is_rejected:
        followed = {name: value for name, value in told_now.items() if name in _OF_ATTEMPTS}
        told_now = {**previous, **followed}
    return within_limit(told_now)


def is_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a change is worth a separate write: more than the Job's admission, or the last step
    of an attempt that continues.

    The Job itself records its admission while it exists, and `progress` the last step. The next
    write adds them to the status: at the latest when pods start, and when the attempt ends.
    """
    return _worth_a_write(before) != _worth_a_write(after)


def _worth_a_write(status: Mapping[str, Any]) -> Manifest:
    rest = {name: value for name, value in status.items() if name != "startTime"}
    attempts = [
        {
            name: value
            for name, value in record.items()
            if name != "admittedTime" and (name != "lastStep" or "endTime" in record)
        }
        for record in status.get("attempts", ())
    ]
    return {**rest, "attempts": attempts}


def _of_another_definition(previous: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a status that remains after a change of the run: the record of attempts."""
    return {name: previous[name] for name in ("attempts",) if name in previous}


def _with_started(
    attempts: Sequence[Attempt],
    last: Attempt | None,
    job: FineTuneJob,
    decision: Decision,
    now: datetime,
) -> tuple[Attempt, ...]:
    number = decision.attempt_to_start
    if number is None:
        return _stopping(attempts, decision)
    started = Attempt(
        number=number,
        name=child_name(job.name, number),
        start=now,
        definition=job.definition,
        adjustments=decision.adjustments,
        gpus=job.resources.gpus,
    )
    return (*attempts, started)


def _stopping(attempts: Sequence[Attempt], decision: Decision) -> tuple[Attempt, ...]:
    """The attempts, with the reason why the running one must end."""
    if decision.stop is None or not attempts or attempts[-1].end is not None:
        return tuple(attempts)
    return (*attempts[:-1], replace(attempts[-1], is_stopping=True, failure=decision.stop))


def _next_progress(previous: Mapping[str, Any], observed: Observed) -> Mapping[str, Any]:
    """Reports write it as they arrive; here only the end of an attempt does."""
    newest = observed.newest
    if newest is None:
        # Progress of an attempt at another definition would be misleading.
        return {}
    if newest.end is None:
        return previous
    if observed.outcome is None or observed.running is not None:
        return without_eta(previous)
    return without_eta(with_outcome(previous, observed.outcome, newest.number))


def _next_notes(previous: Mapping[str, Any], observed: Observed) -> list[Manifest] | None:
    """From the newest outcome, or else the previous ones; notes of a failed attempt, or of an
    earlier one, are dropped.
    """
    newest = observed.newest
    if newest is None:
        return None
    if observed.outcome is None or newest.end is None:
        return previous.get("notes")
    return [note.to_document() for note in observed.outcome.notes] or None


def _next_memory(
    previous: Mapping[str, Any], job: FineTuneJob, observed: Observed
) -> Mapping[str, Any]:
    """The trainer's report takes precedence over the estimate."""
    figures = (observed.outcome.figures if observed.outcome is not None else None) or {}
    peak = figures.get("peak_memory_bytes")
    known = render_memory(job.estimated_memory_bytes, None)
    return {**known, **previous, **render_memory(None, None if peak is None else int(peak))}


def _claims(
    known: Sequence[Body], job: FineTuneJob, observed: Observed, decision: Decision
) -> list[Claim]:
    reason, message = decision.reason, decision.message
    verified = _claim_verified(known, observed)
    if job.is_rejected:
        return [*_rejected_claims(conditions.tell_all(job.mistakes)), *verified]
    if reason == JobReason.INVALID_SPEC:
        return _rejected_claims(message)
    claims = [
        Claim(
            type="Accepted",
            is_true=True,
            reason=JobReason.SPEC_ACCEPTED,
            message="; ".join(["the spec is valid", *(f"warning: {w}" for w in job.warnings)]),
        )
    ]
    match decision.phase:
        case Phase.SUCCEEDED:
            claims.append(Claim(type="Complete", is_true=True, reason=reason, message=message))
            claims.extend(verified or [_NOT_VERIFIED])
        case Phase.FAILED:
            claims.append(Claim(type="Failed", is_true=True, reason=reason, message=message))
            claims.append(Claim(type="Stalled", is_true=True, reason=reason, message=message))
            claims.extend(_claim_unverified(observed))
        case Phase.SUSPENDED:
            claims.append(Claim(type="Suspended", is_true=True, reason=reason, message=message))
        case _:
            claims.append(Claim(type="Reconciling", is_true=True, reason=reason, message=message))
    is_ready = decision.phase is Phase.SUCCEEDED
    claims.append(Claim(type="Ready", is_true=is_ready, reason=reason, message=message))
    return claims


def _rejected_claims(message: str) -> list[Claim]:
    return [
        Claim(type="Accepted", is_true=False, reason=JobReason.INVALID_SPEC, message=message),
        Claim(type="Stalled", is_true=True, reason=JobReason.INVALID_SPEC, message=message),
        Claim(type="Ready", is_true=False, reason=JobReason.INVALID_SPEC, message=message),
    ]


_NOT_VERIFIED = Claim(
    type="AdapterVerified",
    is_true=False,
    reason=JobReason.NOT_VERIFIED,
    message="the trainer did not report that the artifact was verified",
)


def _claim_verified(known: Sequence[Body], observed: Observed) -> list[Claim]:
    """From the outcome, or else the previous condition: the pod may already be deleted."""
    was_verified = conditions.is_true(known, "AdapterVerified")
    if not (observed.outcome.adapter_verified if observed.outcome is not None else was_verified):
        return []
    return [
        Claim(
            type="AdapterVerified",
            is_true=True,
            reason=JobReason.VERIFIED,
            message="the saved artifact was reloaded and verified",
        )
    ]


def _claim_unverified(observed: Observed) -> list[Claim]:
    """For a run that finished training and whose artifact failed verification."""
    failure = observed.newest.failure if observed.newest is not None else None
    if failure is None or failure.phase != TrainerPhase.VERIFYING:
        return []
    return [
        Claim(
            type="AdapterVerified",
            is_true=False,
            reason=failure.reason,
            message=failure.message,
        )
    ]


def _render_world(
    job: FineTuneJob, progress: Mapping[str, Any], newest: Attempt | None
) -> Manifest:
    wanted = job.resources.nodes * job.resources.processes_per_node
    is_current = newest is not None and progress.get("attempt") == newest.number
    seen = progress.get("worldSize") if is_current else None
    return {"wanted": wanted} if seen is None else {"wanted": wanted, "seen": seen}


def _render_artifact(artifact: Artifact) -> Manifest:
    return {
        "uri": artifact.uri,
        "digest": artifact.digest,
        "sizeBytes": artifact.size_bytes,
    }


def _render_failure(failure: Failure, newest: Attempt | None) -> Manifest:
    is_of_newest = newest is not None and newest.failure == failure
    rendered = {
        "reason": failure.reason,
        "message": failure.message,
        "remedy": failure.remedy or None,
        "category": failure.category.value,
        "retryable": failure.category not in NEVER_RETRIED,
        "phase": failure.phase or None,
        "rank": failure.rank,
        "exitCode": newest.exit_code if newest is not None and is_of_newest else None,
    }
    return {name: value for name, value in rendered.items() if value is not None}
