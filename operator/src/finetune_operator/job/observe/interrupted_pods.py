# SPDX-License-Identifier: Apache-2.0
"""The pods of an attempt that were ended from outside, and the causes, for its record. No I/O here.

On a single node the Job controller replaces such a pod within the attempt, and no other record of
it remains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from finetune_contract.outcome import Outcome
from finetune_contract.reasons import Reason
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.interruptions import MAX_MESSAGE, Interruption
from finetune_operator.job.observe.endings import (
    find_disruption,
    find_ending,
    is_to_be_replaced,
    who_stopped,
)
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time

_ORDERED = frozenset({Reason.SUSPENDED, Reason.SPEC_CHANGED, Reason.POD_REJECTED})
"""Ends that the user requested, and pods that never ran: neither is an interruption."""


def with_interruptions(
    attempt: Attempt, training_job: Body | None, pods: Sequence[Body], progress: Mapping[str, Any]
) -> Attempt:
    """The attempt with the interruptions that its pods show and its record does not have yet."""
    if attempt.is_stopping or (attempt.failure and attempt.failure.reason in _ORDERED):
        return attempt
    known = {it.pod for it in attempt.interruptions}
    is_queued = bool(training_job and training_job["spec"].get("suspend"))
    found = [
        _read(pod, is_queued=is_queued, step=_kept_step(attempt, pod, progress))
        for pod in _find_interrupted(attempt, training_job, pods)
        if pod["metadata"]["name"] not in known
    ]
    if not found and _was_deleted(attempt):
        found = [_of_deleted_job(attempt, progress)]
    told = sorted(found, key=lambda it: (it.time, it.pod))
    return replace(attempt, interruptions=(*attempt.interruptions, *told))


def _find_interrupted(
    attempt: Attempt, training_job: Body | None, pods: Sequence[Body]
) -> list[Body]:
    if training_job is None:
        return []
    found = [pod for pod in pods if is_to_be_replaced(pod) and not _is_good(pod)]
    if training_job["spec"].get("completionMode") != "Indexed":
        return found
    # The others of several nodes were ended because of the first.
    is_cause = attempt.result is Result.INTERRUPTED and found
    return [min(found, key=_cause_order)] if is_cause else []


def _cause_order(pod: Body) -> tuple[bool, str, str]:
    ending = find_ending(pod)
    end = "" if ending is None else ending.end
    return find_disruption(pod) is None, end, pod["metadata"]["name"]


def _is_good(pod: Body) -> bool:
    ending = find_ending(pod)
    return ending is not None and ending.is_good


def _was_deleted(attempt: Attempt) -> bool:
    failure = attempt.failure
    return failure is not None and failure.reason == Reason.TRAINING_JOB_DELETED


def _of_deleted_job(attempt: Attempt, progress: Mapping[str, Any]) -> Interruption:
    return Interruption(
        time=attempt.end or attempt.start,
        reason=Reason.TRAINING_JOB_DELETED,
        message=attempt.failure.message if attempt.failure is not None else "",
        start=attempt.pods_started,
        step=_reported_step(attempt, progress),
    )


def _read(pod: Body, *, is_queued: bool, step: int | None) -> Interruption:
    status, metadata = pod["status"], pod["metadata"]
    disruption = find_disruption(pod) or {}
    stopped = "Preempted" if is_queued else "Stopped"
    reason = status.get("reason") or disruption.get("reason") or stopped
    message = status.get("message") or who_stopped(pod) or _own_words(pod)
    ending = find_ending(pod)
    end = (ending.end if ending else "") or disruption.get("lastTransitionTime")
    start = status.get("startTime") or metadata["creationTimestamp"]
    return Interruption(
        time=parse_time(end or start),
        reason=str(reason),
        message=str(message)[:MAX_MESSAGE],
        pod=metadata["name"],
        node=pod.get("spec", {}).get("nodeName", ""),
        start=parse_time(start),
        step=step,
    )


def _own_words(pod: Body) -> str:
    outcome = _outcome_of(pod)
    return outcome.failure.message if outcome is not None and outcome.failure is not None else ""


def _outcome_of(pod: Body) -> Outcome | None:
    ending = find_ending(pod)
    return None if ending is None else ending.outcome


def _kept_step(attempt: Attempt, pod: Body, progress: Mapping[str, Any]) -> int | None:
    outcome = _outcome_of(pod)
    return _reported_step(attempt, progress) if outcome is None else outcome.checkpoint_step


def _reported_step(attempt: Attempt, progress: Mapping[str, Any]) -> int | None:
    """The step of the newest checkpoint; the last step taken if no checkpoint was reported."""
    reported = progress if progress.get("attempt") == attempt.number else {}
    saved: int | None = reported.get("checkpointStep")
    return attempt.last_step if saved is None else saved
