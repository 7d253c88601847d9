# SPDX-License-Identifier: Apache-2.0
"""observe: what the children show, on top of what the status remembers. No I/O here.

The last place where raw children are read, with `verdict`, which explains failures for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from finetune_contract.outcome import Blame, Failure, Outcome
from finetune_contract.progress import TrainerPhase
from finetune_operator import conditions
from finetune_operator.attempts import Attempt, Result, parse_attempts
from finetune_operator.manifest import Body
from finetune_operator.naming import LABEL_ATTEMPT, FailureReason
from finetune_operator.spec import FineTuneJob, is_accepted
from finetune_operator.timestamps import parse_time
from finetune_operator.verdict import find_outcome, has_ended, judge_failure

MAX_MESSAGE = 1024
"""Longer words of a failure are cut: they are in the status twice, and in events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Children:
    """What there is of a job, as raw objects; also of an earlier job of the same name."""

    training_jobs: Sequence[Body] = ()
    pods: Sequence[Body] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Where a job stands."""

    is_accepted: bool
    """Whether the status already says so: from then on the API server keeps the spec as it is."""
    attempts: tuple[Attempt, ...] = ()
    """All that is known of, brought up to date."""
    outcome: Outcome | None = None
    """Of the newest attempt, seen while its pod could still be read."""
    trainer_phase: TrainerPhase | None = None
    """What the newest attempt last reported to be doing."""
    is_suspended: bool = False
    """Whether somebody (Kueue) keeps the running attempt's Job from having pods."""
    started_pods: int = 0
    """How many pods of the running attempt have got as far as running."""
    waiting_for: str = ""
    """Why a pod of the running attempt does not run, in the scheduler's or kubelet's words."""
    lingering_pods: tuple[str, ...] = ()
    """Pods of ended attempts, or of an earlier job of this name, that still run."""

    @property
    def newest(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None


def observe(job: FineTuneJob, body: Body, children: Children, now: datetime) -> Observed:
    """Attempts that are recorded as ended stay as they are; the others as their children show."""
    accepted, status = is_accepted(body), body.get("status", {})
    progress = status.get("progress", {})
    own_jobs = {
        found["metadata"]["name"]: found
        for found in children.training_jobs
        if controller_uid(found) == job.uid
    }
    attempts: list[Attempt] = []
    outcome = None
    for known in _known_attempts(status, own_jobs):
        # Not only the newest: a crash may have come between its start and the record of the last.
        training_job = own_jobs.get(known.name)
        seen, outcome = _bring_up_to_date(known, training_job, children.pods, now)
        attempts.append(_with_progress(seen, progress, outcome))
    newest = attempts[-1] if attempts else None
    is_running = newest is not None and newest.end is None
    current_job = own_jobs.get(newest.name) if newest is not None and is_running else None
    current_pods = _current_pods(current_job, children.pods)
    return Observed(
        is_accepted=accepted,
        attempts=tuple(_with_steps_lost(attempts)),
        outcome=outcome,
        trainer_phase=_trainer_phase(progress, newest),
        is_suspended=bool(current_job and current_job["spec"].get("suspend")),
        started_pods=sum(
            pod.get("status", {}).get("phase", "Pending") != "Pending" for pod in current_pods
        ),
        waiting_for=_find_waiting_words(current_pods),
        lingering_pods=_find_lingering(children.pods, current_job),
    )


def controller_uid(child: Body) -> str | None:
    """The uid of the object that manages this one."""
    for reference in child["metadata"].get("ownerReferences", ()):
        if reference.get("controller"):
            uid: str = reference["uid"]
            return uid
    return None


def _known_attempts(status: Body, own_jobs: Mapping[str, Body]) -> list[Attempt]:
    """The recorded attempts and, after them, those whose record was never written (a crash)."""
    recorded = list(parse_attempts(status))
    newest_number = recorded[-1].number if recorded else 0
    unrecorded = [
        Attempt(
            number=int(found["metadata"]["labels"][LABEL_ATTEMPT]),
            name=name,
            start=parse_time(found["metadata"]["creationTimestamp"]),
        )
        for name, found in own_jobs.items()
    ]
    newer = [attempt for attempt in unrecorded if attempt.number > newest_number]
    return recorded + sorted(newer, key=lambda attempt: attempt.number)


def _bring_up_to_date(
    attempt: Attempt, training_job: Body | None, all_pods: Sequence[Body], now: datetime
) -> tuple[Attempt, Outcome | None]:
    if attempt.end is not None:
        return attempt, None
    if training_job is None:
        return _deleted(attempt, now), None
    pods = _pods_of(training_job, all_pods)
    found = training_job.get("status", {}).get("conditions", ())
    if conditions.is_true(found, "Complete"):
        ended = replace(attempt, end=_condition_time(found, "Complete"), result=Result.SUCCEEDED)
        outcome = find_outcome(pods)
        return replace(ended, exit_code=0, steps_lost=0), outcome
    if conditions.is_true(found, "Failed"):
        verdict = judge_failure(training_job, pods)
        interrupted = verdict.failure.blame is Blame.INTERRUPTION
        ended = replace(
            attempt,
            end=_condition_time(found, "Failed"),
            result=Result.INTERRUPTED if interrupted else Result.FAILED,
            failure=replace(verdict.failure, message=verdict.failure.message[:MAX_MESSAGE]),
            exit_code=verdict.exit_code,
        )
        if verdict.outcome is not None:
            lost = max(0, verdict.outcome.step - verdict.outcome.checkpoint_step)
            ended = replace(ended, steps_lost=lost)
        return ended, verdict.outcome
    return attempt, None


def _deleted(attempt: Attempt, now: datetime) -> Attempt:
    return replace(
        attempt,
        end=now,
        result=Result.INTERRUPTED,
        failure=Failure(
            blame=Blame.INTERRUPTION,
            reason=FailureReason.TRAINING_JOB_DELETED,
            message=f"Job {attempt.name} was deleted",
            remedy="delete the FineTuneJob, not its Job, to end the run",
        ),
    )


def _with_progress(
    attempt: Attempt, progress: Mapping[str, Any], outcome: Outcome | None
) -> Attempt:
    """With what the trainer said last; its outcome knows better than its reports."""
    if outcome is not None:
        return replace(attempt, last_step=outcome.step, resumed_from_step=outcome.resumed_from_step)
    if progress.get("attempt") != attempt.number:
        return attempt
    steps = [step for step in (attempt.last_step, progress.get("step")) if step is not None]
    resumed_from_step = progress.get("resumedFromStep", attempt.resumed_from_step)
    return replace(attempt, last_step=max(steps, default=None), resumed_from_step=resumed_from_step)


def _with_steps_lost(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Where a killed attempt could not say what it lost, the next one's beginning tells."""
    told: list[Attempt] = []
    next_beginning: int | None = None
    for attempt in reversed(attempts):
        last_step, is_open = attempt.last_step, attempt.steps_lost is None
        if is_open and last_step is not None and next_beginning is not None:
            told.append(replace(attempt, steps_lost=max(0, last_step - next_beginning)))
        else:
            told.append(attempt)
        if attempt.resumed_from_step is not None:
            next_beginning = attempt.resumed_from_step
    return told[::-1]


def _trainer_phase(progress: Mapping[str, Any], newest: Attempt | None) -> TrainerPhase | None:
    is_of_newest = newest is not None and progress.get("attempt") == newest.number
    if not is_of_newest or "phase" not in progress:
        return None
    return TrainerPhase(progress["phase"])


def _pods_of(training_job: Body, pods: Sequence[Body]) -> list[Body]:
    uid = training_job["metadata"]["uid"]
    return [pod for pod in pods if controller_uid(pod) == uid]


def _current_pods(training_job: Body | None, pods: Sequence[Body]) -> list[Body]:
    """One pod for each node of the running attempt: without those that others have replaced."""
    if training_job is None:
        return []
    own = _pods_of(training_job, pods)
    if training_job["spec"].get("completionMode") == "Indexed":
        return own
    return sorted(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))[-1:]


def _find_lingering(pods: Sequence[Body], training_job: Body | None) -> tuple[str, ...]:
    """Pods that run although they are not of the running attempt's Job."""
    current = _pods_of(training_job, pods) if training_job is not None else []
    lingering = [pod for pod in pods if pod not in current and not has_ended(pod)]
    return tuple(sorted(pod["metadata"]["name"] for pod in lingering))


def _find_waiting_words(pods: Sequence[Body]) -> str:
    """The first complaint about a pod, in the words of whoever is to start it."""
    for pod in pods:
        status = pod.get("status", {})
        scheduled = conditions.find(status.get("conditions", ()), "PodScheduled")
        if scheduled and scheduled.get("status") == "False" and scheduled.get("message"):
            return f"pod {pod['metadata']['name']} is not scheduled: {scheduled['message']}"
        for container in status.get("containerStatuses", ()):
            waiting = container.get("state", {}).get("waiting", {})
            if waiting.get("message"):
                return (
                    f"pod {pod['metadata']['name']} does not start: "
                    f"{waiting.get('reason')}: {waiting['message']}"
                )
    return ""


def _condition_time(found: Sequence[Body], type_: str) -> datetime:
    return parse_time(conditions.require(found, type_)["lastTransitionTime"])
