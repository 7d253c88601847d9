# SPDX-License-Identifier: Apache-2.0
"""find_due: the times that a schedule should have started by now. No I/O here, and no clock.

`mostRecentScheduleTime` and `nextScheduleTimeDuration` of Kubernetes' CronJob controller, including
its estimate of the missed times.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from finetune_spec.cron.expression import Expression
from finetune_spec.cron.times import next_time

TOO_MANY = 100
"""Missed times; more of them may mean a wrong clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """The times of a schedule, and the time they are counted from."""

    expression: Expression
    zone: ZoneInfo
    starting_deadline: timedelta | None
    """How late a job may still start."""

    def next_after(self, moment: datetime) -> datetime | None:
        return next_time(self.expression, moment, self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Only the newest of all unused times that have passed can still start."""

    start: datetime | None
    missed: int
    """How many times have passed, approximately if more than one; `start` is the last."""


_SECOND = timedelta(seconds=1)


class NeverDue(Exception):
    """There is no such time, for example on February 31."""


def find_due(table: Timetable, since: datetime, now: datetime) -> Due:
    """The times after `since`, the last start or the creation of the schedule.

    Raises:
        NeverDue: the schedule has no times.
    """
    if table.starting_deadline is not None:
        since = max(since, now - table.starting_deadline)
    first = table.next_after(since)
    second = None if first is None else table.next_after(first)
    if first is None or second is None:
        raise NeverDue
    if now < first:
        return Due(start=None, missed=0)
    if now < second:
        return Due(start=first, missed=0)
    interval = second - first
    missed = (now - first) // interval + 1
    # One interval further back than the estimate: intervals differ, as in `30 6-16/4 * * 1-5`.
    start = _find_last(table, first + (missed - 2) * interval, now)
    return Due(start=start, missed=missed)


def _find_last(table: Timetable, since: datetime, now: datetime) -> datetime | None:
    """The newest time after the first moment and not after the second.

    If the first interval is an unusual one there may be a million times between: after some steps,
    bisection finds it.
    """
    start, moment = None, table.next_after(since)
    for _ in range(TOO_MANY):
        if moment is None or moment > now:
            return start
        start, moment = moment, table.next_after(moment)
    if moment is None or moment > now:
        return start
    # There is a next time after `low`, and none after `high`.
    low, high = moment - _SECOND, now
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        following = table.next_after(middle)
        if following is not None and following <= now:
            low = middle
        else:
            high = middle
    return table.next_after(low)


def find_next(table: Timetable, since: datetime, now: datetime) -> datetime | None:
    """The next time after now.

    Raises:
        NeverDue: the schedule has no times.
    """
    # The starting deadline does not affect future times.
    due = find_due(
        Timetable(expression=table.expression, zone=table.zone, starting_deadline=None), since, now
    )
    if due.start is not None:
        return table.next_after(due.start)
    return table.next_after(since if due.missed == 0 else now)
