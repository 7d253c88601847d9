# SPDX-License-Identifier: Apache-2.0
"""An attempt as its Job and pods show it now: running, or ended and how. No I/O here.

Combines the result of `verdict` with stops that the operator itself had started.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from finetune_contract.outcome import Category, Failure, Outcome
from finetune_contract.reasons import Reason
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.observe.pods import first_start, pods_of, start_time
from finetune_operator.job.observe.verdict import Succeeded, Verdict, judge
from finetune_operator.objects import conditions
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time

MAX_MESSAGE = 1024
"""Longer failure messages are cut: they are in the status twice, and in events."""

_THE_SAME_AGAIN = frozenset({Category.USER, Category.PLATFORM, Category.OUT_OF_MEMORY})
"""Failures that the next attempt would repeat, even if this one was also ended from outside."""


def bring_up_to_date(
    attempt: Attempt, training_job: Body | None, all_pods: Sequence[Body], now: datetime
) -> tuple[Attempt, Outcome | None]:
    if attempt.end is not None:
        return attempt, None
    if training_job is None:
        return _failed(attempt, _why_deleted(attempt), now), None
    pods = pods_of(training_job, all_pods)
    attempt = replace(
        attempt,
        admitted=start_time(training_job) or attempt.admitted,
        # A pod that was replaced may already be deleted.
        pods_started=attempt.pods_started or first_start(pods),
    )
    verdict = judge(training_job, pods)
    if verdict is None:
        return attempt, None
    end = _end_of(training_job, verdict, now)
    if isinstance(verdict, Succeeded):
        return _succeeded(attempt, end), verdict.outcome
    ended = _failed(attempt, _failure_of(attempt, training_job, verdict), end)
    if verdict.outcome is not None:
        lost = max(0, verdict.outcome.step - verdict.outcome.checkpoint_step)
        ended = replace(ended, steps_lost=lost)
    return replace(ended, exit_code=verdict.exit_code), verdict.outcome


def _end_of(training_job: Body, verdict: Succeeded | Verdict, now: datetime) -> datetime:
    """The Job's own end time if it has ended; else the trainer's, while the Job continues."""
    found = training_job.get("status", {}).get("conditions", ())
    for type_ in ("Complete", "Failed"):
        if conditions.is_true(found, type_):
            return parse_time(conditions.require(found, type_)["lastTransitionTime"])
    is_going = "deletionTimestamp" in training_job["metadata"]
    return now if is_going or not verdict.end else parse_time(verdict.end)


def _failure_of(attempt: Attempt, training_job: Body, verdict: Verdict) -> Failure:
    own = verdict.outcome.failure if verdict.outcome is not None else None
    if own is not None and own.category in _THE_SAME_AGAIN:
        return own
    if attempt.is_stopping and attempt.failure is not None:
        return attempt.failure
    has_failed = conditions.is_true(training_job.get("status", {}).get("conditions", ()), "Failed")
    is_going = "deletionTimestamp" in training_job["metadata"]
    return _why_deleted(attempt) if is_going and not has_failed else verdict.failure


def _succeeded(attempt: Attempt, end: datetime) -> Attempt:
    """Also for an attempt that the operator was stopping and that finished before."""
    return replace(
        attempt,
        end=end,
        result=Result.SUCCEEDED,
        exit_code=0,
        steps_lost=0,
        failure=None,
        is_stopping=False,
    )


def _failed(attempt: Attempt, failure: Failure, end: datetime) -> Attempt:
    is_interruption = failure.category is Category.INTERRUPTION
    return replace(
        attempt,
        end=end,
        result=Result.INTERRUPTED if is_interruption else Result.FAILED,
        failure=replace(failure, message=failure.message[:MAX_MESSAGE]),
        is_stopping=False,
    )


def _why_deleted(attempt: Attempt) -> Failure:
    """Ended by the operator, for the reason already recorded; otherwise by a user or controller."""
    if attempt.is_stopping and attempt.failure is not None:
        return attempt.failure
    return Reason.TRAINING_JOB_DELETED.failure(
        f"Job {attempt.name} was deleted", "delete the FineTuneJob, not its Job, to end the run"
    )
