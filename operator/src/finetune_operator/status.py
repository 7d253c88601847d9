# SPDX-License-Identifier: Apache-2.0
"""next_status and status_patch: everything that users read in `.status`. No I/O here.

The status is computed whole each time; only the difference is written.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from finetune_contract.outcome import Artifact, Failure
from finetune_operator import conditions
from finetune_operator.attempts import Attempt, render_attempts
from finetune_operator.conditions import Claim
from finetune_operator.decision import NEVER_RETRIED, Decision
from finetune_operator.errors import InvalidSpec
from finetune_operator.figures import render_memory, with_outcome, without_eta
from finetune_operator.manifest import Body, Manifest
from finetune_operator.naming import Phase, Reason, child_name
from finetune_operator.observation import Observed
from finetune_operator.spec import FineTuneJob
from finetune_operator.timestamps import render_time

FINISHED = frozenset({Phase.SUCCEEDED, Phase.FAILED})


def is_finished(body: Body) -> bool:
    """Whether the job has ended for good: nothing is ever created for it again."""
    found = body.get("status", {}).get("conditions", ())
    return conditions.is_true(found, "Complete") or conditions.is_true(found, "Failed")


def next_status(
    previous: Mapping[str, Any],
    job: FineTuneJob,
    observed: Observed,
    decision: Decision,
    now: datetime,
) -> Manifest:
    """The whole status after the decision was carried out."""
    attempts = _with_started(observed.attempts, job, decision, now)
    newest = attempts[-1] if attempts else None
    progress = _next_progress(previous.get("progress", {}), observed, decision)
    artifact = previous.get("artifact")
    if observed.outcome is not None and observed.outcome.artifact is not None:
        artifact = _render_artifact(observed.outcome.artifact)
    is_told = decision.phase in (Phase.FAILED, Phase.RETRYING)
    failure = newest.failure if newest is not None and is_told else None
    ended = newest.end if newest is not None and decision.phase in FINISHED else None
    started = attempts[0].start if attempts else None
    status = {
        "phase": decision.phase.value,
        "observedGeneration": job.generation,
        "runId": job.run_id,
        "attempt": None if newest is None else newest.number,
        "gpus": job.resources.gpus,
        "worldSize": _render_world(job, progress, newest),
        "startTime": previous.get("startTime") or (started and render_time(started)),
        "completionTime": ended and render_time(ended),
        "progress": progress or None,
        "memory": _next_memory(previous.get("memory", {}), job, observed) or None,
        "artifact": artifact,
        "failure": None if failure is None or newest is None else _render_failure(failure, newest),
        "attempts": render_attempts(attempts) or None,
        "conditions": conditions.merge(
            previous.get("conditions", ()), _claims(job, observed, decision), job.generation, now
        ),
    }
    return {name: value for name, value in status.items() if value is not None}


def rejected_status(
    previous: Mapping[str, Any], generation: int, invalid: InvalidSpec, now: datetime
) -> Manifest:
    """The status of a job whose spec the user must edit first."""
    message = str(invalid)
    claims = [
        Claim(type="Accepted", is_true=False, reason=Reason.INVALID_SPEC, message=message),
        Claim(type="Stalled", is_true=True, reason=Reason.INVALID_SPEC, message=message),
        Claim(type="Ready", is_true=False, reason=Reason.INVALID_SPEC, message=message),
    ]
    return {
        "phase": Phase.PENDING.value,
        "observedGeneration": generation,
        "conditions": conditions.merge(previous.get("conditions", ()), claims, generation, now),
    }


def acknowledged_status(previous: Mapping[str, Any], generation: int) -> Manifest:
    """The status of a finished job after an edit: the same, but the edit was seen."""
    seen = [{**condition, "observedGeneration": generation} for condition in previous["conditions"]]
    return {**previous, "observedGeneration": generation, "conditions": seen}


def status_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Manifest:
    """The merge patch that turns `before` into `after`; empty when they are equal."""
    patch: Manifest = {name: None for name in before if name not in after}
    for name, value in after.items():
        old = before.get(name)
        if old == value:
            continue
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            patch[name] = status_patch(old, value)
        else:
            patch[name] = value
    return patch


def _with_started(
    attempts: Sequence[Attempt], job: FineTuneJob, decision: Decision, now: datetime
) -> tuple[Attempt, ...]:
    number = decision.attempt_to_start
    if number is None:
        return tuple(attempts)
    return (*attempts, Attempt(number=number, name=child_name(job.name, number), start=now))


def _next_progress(
    previous: Mapping[str, Any], observed: Observed, decision: Decision
) -> Mapping[str, Any]:
    """Reports write it as they come; here only the end of an attempt does."""
    newest = observed.newest
    if newest is None or newest.end is None:
        return previous
    if observed.outcome is None:
        return without_eta(previous)
    return without_eta(with_outcome(previous, observed.outcome, newest.number))


def _next_memory(
    previous: Mapping[str, Any], job: FineTuneJob, observed: Observed
) -> Mapping[str, Any]:
    """What the trainer reports knows more than what was estimated before it ran."""
    figures = (observed.outcome.figures if observed.outcome is not None else None) or {}
    peak = figures.get("peak_memory_bytes")
    known = render_memory(job.estimated_memory_bytes, None)
    return {**known, **previous, **render_memory(None, None if peak is None else int(peak))}


def _claims(job: FineTuneJob, observed: Observed, decision: Decision) -> list[Claim]:
    reason, message = decision.reason, decision.message
    claims = [
        Claim(
            type="Accepted",
            is_true=True,
            reason=Reason.SPEC_ACCEPTED,
            message="; ".join(["the spec is valid", *(f"warning: {w}" for w in job.warnings)]),
        )
    ]
    match decision.phase:
        case Phase.SUCCEEDED:
            claims.append(Claim(type="Complete", is_true=True, reason=reason, message=message))
            claims.append(_claim_verified(observed))
        case Phase.FAILED:
            claims.append(Claim(type="Failed", is_true=True, reason=reason, message=message))
            claims.append(Claim(type="Stalled", is_true=True, reason=reason, message=message))
        case _:
            claims.append(Claim(type="Reconciling", is_true=True, reason=reason, message=message))
    is_ready = decision.phase is Phase.SUCCEEDED
    claims.append(Claim(type="Ready", is_true=is_ready, reason=reason, message=message))
    return claims


def _claim_verified(observed: Observed) -> Claim:
    is_verified = observed.outcome is not None and observed.outcome.adapter_verified
    return Claim(
        type="AdapterVerified",
        is_true=is_verified,
        reason=Reason.VERIFIED if is_verified else Reason.NOT_VERIFIED,
        message=(
            "the artifact was loaded again and checked"
            if is_verified
            else "the trainer did not say that it has checked the artifact"
        ),
    )


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


def _render_failure(failure: Failure, attempt: Attempt) -> Manifest:
    rendered = {
        "reason": failure.reason,
        "message": failure.message,
        "remedy": failure.remedy or None,
        "blame": failure.blame.value,
        "retryable": failure.blame not in NEVER_RETRIED,
        "phase": failure.phase or None,
        "rank": failure.rank,
        "exitCode": attempt.exit_code,
    }
    return {name: value for name, value in rendered.items() if value is not None}
