# SPDX-License-Identifier: Apache-2.0
"""decide: returns the next action for a schedule. No I/O here, and no clock.

A tuple of rules, of which the first match wins: those of Kubernetes' `syncCronJob`, in its order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from finetune_operator.objects.names import ScheduleReason
from finetune_operator.objects.times import render_time
from finetune_operator.schedule.due import TOO_MANY, Due, NeverDue, find_due, find_next
from finetune_operator.schedule.observation import Child, JobEnding, ObservedSchedule
from finetune_operator.schedule.spec import Policy, Schedule

LONGEST_WAIT = timedelta(minutes=1)
"""Clocks are adjusted now and then, and timers do not notice."""
PADDING = timedelta(milliseconds=100)
"""The delay after the time, as in the CronJob controller: the clocks of nodes differ a little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDecision:
    """The action, the message, and the time of the next check."""

    reason: ScheduleReason
    message: str
    start: datetime | None = None
    """The scheduled time to create a job for."""
    replaced: tuple[Child, ...] = ()
    """Jobs to delete first."""
    surplus: tuple[Child, ...] = ()
    """Finished jobs beyond the history limits."""
    missed: datetime | None = None
    """The newest scheduled time that passed its deadline without a job."""
    has_missed_many: bool = False
    next: datetime | None = None
    check_again_in: timedelta | None = None


def decide(schedule: Schedule, observed: ObservedSchedule, now: datetime) -> ScheduleDecision:
    """The first rule that applies; surplus jobs are deleted in any case."""
    try:
        situation = _Situation.at(schedule, observed, now)
    except NeverDue:
        # The expression is valid, so it has a next time, but beyond the years that are searched.
        situation = _Situation(
            due=Due(start=None, missed=0), next=None, missed=None, observed=observed, now=now
        )
    decision = next(found for rule in RULES if (found := rule(schedule, situation)) is not None)
    return replace(decision, surplus=_find_surplus(schedule, observed))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Situation:
    due: Due
    next: datetime | None
    missed: datetime | None
    observed: ObservedSchedule
    now: datetime

    @classmethod
    def at(cls, schedule: Schedule, observed: ObservedSchedule, now: datetime) -> "_Situation":
        table = schedule.table
        # Times before the last change of the schedule are not caught up.
        known = (observed.last_scheduled, observed.counted_from)
        since = max((moment for moment in known if moment is not None), default=schedule.created)
        due = find_due(table, since, now)
        # Times whose deadline has passed: CronJobs skip them silently.
        missed = None
        if due.start is None and table.starting_deadline is not None:
            missed = find_due(replace(table, starting_deadline=None), since, now).start
        next_ = find_next(table, since, now)
        return cls(due=due, next=next_, missed=missed, observed=observed, now=now)

    @property
    def wait(self) -> timedelta:
        if self.next is None:
            return LONGEST_WAIT
        return min(max(self.next - self.now, timedelta()) + PADDING, LONGEST_WAIT)


def when_unrecorded(schedule: Schedule, situation: _Situation) -> ScheduleDecision | None:
    """The past that its jobs show must be in the status before any of them may be deleted."""
    if situation.observed.is_recorded:
        return None
    return ScheduleDecision(
        reason=ScheduleReason.SCHEDULED,
        message=_tell_next(situation.next),
        next=situation.next,
        check_again_in=timedelta(),
    )


def when_suspended(schedule: Schedule, situation: _Situation) -> ScheduleDecision | None:
    if not schedule.is_suspended:
        return None
    return ScheduleDecision(
        reason=ScheduleReason.SUSPENDED, message="spec.suspend is true: no job is started"
    )


def when_not_due(schedule: Schedule, situation: _Situation) -> ScheduleDecision | None:
    if situation.due.start is not None:
        return None
    message = _tell_next(situation.next)
    if situation.missed is not None:
        message = (
            f"no job was started for {render_time(situation.missed)} within "
            f"startingDeadlineSeconds; {message}"
        )
    return ScheduleDecision(
        reason=(
            ScheduleReason.SCHEDULED if situation.missed is None else ScheduleReason.MISS_SCHEDULE
        ),
        message=message,
        missed=situation.missed,
        next=situation.next,
        check_again_in=situation.wait,
    )


def when_active(schedule: Schedule, situation: _Situation) -> ScheduleDecision | None:
    """It starts when the other job has ended, unless its deadline has passed by then."""
    active = situation.observed.active
    if schedule.policy is not Policy.FORBID or not active:
        return None
    return ScheduleDecision(
        reason=ScheduleReason.JOB_ALREADY_ACTIVE,
        message=(
            f"a job is due but was not started: concurrencyPolicy is Forbid and {active[0].name} "
            "has not ended"
        ),
        next=situation.next,
        check_again_in=situation.wait,
    )


def when_due(schedule: Schedule, situation: _Situation) -> ScheduleDecision | None:
    start, active = situation.due.start, situation.observed.active
    if start is None:
        return None
    is_replacing = schedule.policy is Policy.REPLACE
    return ScheduleDecision(
        reason=ScheduleReason.SCHEDULED,
        message=_tell_next(situation.next),
        start=start,
        replaced=tuple(child for child in active if not child.is_going) if is_replacing else (),
        has_missed_many=situation.due.missed > TOO_MANY,
        next=situation.next,
        check_again_in=situation.wait,
    )


RULES: tuple[Callable[[Schedule, _Situation], ScheduleDecision | None], ...] = (
    when_unrecorded,
    when_suspended,
    when_not_due,
    when_active,
    when_due,
)


def _tell_next(moment: datetime | None) -> str:
    return "no job is due" if moment is None else f"the next job is due at {render_time(moment)}"


def _find_surplus(schedule: Schedule, observed: ObservedSchedule) -> tuple[Child, ...]:
    succeeded, failed = observed.ended(JobEnding.COMPLETE), observed.ended(JobEnding.FAILED)
    return (
        *_oldest(succeeded, len(succeeded) - schedule.keep_succeeded),
        *_oldest(failed, len(failed) - schedule.keep_failed),
    )


def _oldest(children: Sequence[Child], number: int) -> Sequence[Child]:
    return [child for child in children[: max(0, number)] if not child.is_going]
