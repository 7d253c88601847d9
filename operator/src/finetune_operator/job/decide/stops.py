# SPDX-License-Identifier: Apache-2.0
"""Reasons for the operator to end the running attempt. No I/O here.

The reason is recorded in the attempt first, then its Job is deleted, so that a crash in between
loses neither. The trainer gets its grace period to save.
"""

from collections.abc import Callable
from datetime import datetime

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_operator.job.attempts import interruptions_at_end
from finetune_operator.job.interruptions import judge_in_vain
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.observe.waiting import WaitsOn
from finetune_operator.job.spec import FineTuneJob
from finetune_spec.quantities import render_duration

Stop = Callable[[FineTuneJob, Observed, datetime], Failure | None]


def find_stop(job: FineTuneJob, observed: Observed, now: datetime) -> Failure | None:
    """The first reason to end the running attempt, if there is one."""
    return next((found for stop in STOPS if (found := stop(job, observed, now)) is not None), None)


def find_next_stop(job: FineTuneJob, observed: Observed, now: datetime) -> datetime | None:
    """The earliest deadline that has not passed yet."""
    deadlines = (active_deadline(job, observed), start_deadline(job, observed))
    ahead = (deadline for deadline in deadlines if deadline is not None and deadline > now)
    return min(ahead, default=None)


def active_deadline(job: FineTuneJob, observed: Observed) -> datetime | None:
    """When the job reaches `activeDeadlineSeconds`, counted since its first admission or last
    resume, as for a batch/v1 Job.
    """
    if job.active_deadline is None or observed.started is None:
        return None
    return observed.started + job.active_deadline


def start_deadline(job: FineTuneJob, observed: Observed) -> datetime | None:
    """When the pods of the running attempt must have started."""
    if job.start_deadline is None or observed.waiting_since is None or observed.is_suspended:
        return None
    return observed.waiting_since + job.start_deadline


def when_spec_was_changed(job: FineTuneJob, observed: Observed, now: datetime) -> Failure | None:
    if observed.running in observed.attempts:
        return None
    return Reason.SPEC_CHANGED.failure("the spec was changed to define another run")


def when_job_is_suspended(job: FineTuneJob, observed: Observed, now: datetime) -> Failure | None:
    if not job.is_suspended:
        return None
    return Reason.SUSPENDED.failure(
        "spec.suspend is true", "set spec.suspend to false to resume from the last checkpoint"
    )


def when_deadline_has_passed(job: FineTuneJob, observed: Observed, now: datetime) -> Failure | None:
    deadline = active_deadline(job, observed)
    return None if deadline is None or now < deadline else deadline_exceeded(job)


def deadline_exceeded(job: FineTuneJob) -> Failure:
    limit = job.active_deadline
    allowed = "" if limit is None else render_duration(limit.total_seconds())
    return Reason.DEADLINE_EXCEEDED.failure(
        f"the job exceeded its spec.activeDeadlineSeconds ({allowed})",
        "raise spec.activeDeadlineSeconds; a job that is created again with the same config "
        "resumes from the last checkpoint",
    )


def when_pods_did_not_start(job: FineTuneJob, observed: Observed, now: datetime) -> Failure | None:
    deadline = start_deadline(job, observed)
    if job.start_deadline is None or deadline is None or now < deadline:
        return None
    words = observed.waiting_for or observed.standing or "the cause is unknown"
    return not_started(job, words, observed.started_pods, observed.waits_on)


def not_started(job: FineTuneJob, words: str, started: int, waits_on: WaitsOn) -> Failure:
    limit = job.start_deadline
    allowed = "" if limit is None else render_duration(limit.total_seconds())
    return Reason.PODS_NOT_STARTED.failure(
        f"{started} of {job.resources.nodes} pods were running after {allowed}: {words}",
        waits_on.remedy,
        category=waits_on.category,
    )


def when_interrupted_again_and_again(
    job: FineTuneJob, observed: Observed, now: datetime
) -> Failure | None:
    running = observed.running
    if running is None or not running.interruptions:
        return None
    return judge_in_vain(interruptions_at_end(observed.attempts))


STOPS: tuple[Stop, ...] = (
    when_spec_was_changed,
    when_job_is_suspended,
    when_deadline_has_passed,
    when_pods_did_not_start,
    when_interrupted_again_and_again,
)
