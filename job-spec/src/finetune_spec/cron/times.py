# SPDX-License-Identifier: Apache-2.0
"""next_time: the next time of an expression. No I/O here, and no clock.

Follows robfig/cron's `SpecSchedule.Next` step by step, on seconds since 1970 and the zone's offsets
as in Go's package time. The results in hours that a clock change skips or repeats follow from these
steps alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

from finetune_spec.cron.expression import Cron, Every, Expression

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = datetime(1970, 1, 1)  # noqa: DTZ001 - the local time of any zone
_YEARS = 5
"""Later times are not searched."""

_MINUTE, _HOUR = 60, 3600


def next_time(expression: Expression, after: datetime, zone: ZoneInfo) -> datetime | None:
    """The first time after this one, in UTC; None if there is none within five years."""
    moment = (after - _EPOCH) // timedelta(seconds=1)
    if isinstance(expression, Every):
        return _EPOCH + timedelta(seconds=moment) + expression.delay
    # A lone comma is an empty list, which is allowed and matches nothing.
    if not (expression.minutes and expression.hours and expression.months):
        return None
    found = _Search(expression, zone).find(moment + 1)
    return None if found is None else _EPOCH + timedelta(seconds=found)


@dataclass(frozen=True, slots=True)
class _Search:
    """Local times of one zone as Go computes them; a moment is in seconds since 1970."""

    cron: Cron
    zone: ZoneInfo

    def find(self, moment: int) -> int | None:
        """A part that does not match is incremented, and all smaller ones are reset; if it wraps
        around, the larger ones start again.
        """
        limit = self._local(moment).year + _YEARS
        steps = (self._to_month, self._to_day, self._to_hour, self._to_minute, self._to_second)
        is_added = False
        while self._local(moment).year <= limit:
            for step in steps:
                moment, is_added, has_wrapped = step(moment, is_added)
                if has_wrapped:
                    break
            else:
                return moment
        return None

    def _to_month(self, moment: int, is_added: bool) -> tuple[int, bool, bool]:
        while (now := self._local(moment)).month not in self.cron.months:
            if not is_added:
                is_added = True
                midnight = now.replace(day=1, hour=0, minute=0, second=0)
                now = self._local(self._moment(midnight))
            year, month = divmod(now.year * 12 + now.month, 12)
            begin = now.replace(year=year, month=month + 1, day=1)
            moment = self._moment(begin + timedelta(days=now.day - 1))
            if self._local(moment).month == 1:
                return moment, is_added, True
        return moment, is_added, False

    def _to_day(self, moment: int, is_added: bool) -> tuple[int, bool, bool]:
        while not self._matches_day(now := self._local(moment)):
            if not is_added:
                is_added = True
                now = self._local(self._moment(now.replace(hour=0, minute=0, second=0)))
            moment = self._next_midnight(now)
            if self._local(moment).day == 1:
                return moment, is_added, True
        return moment, is_added, False

    def _next_midnight(self, now: datetime) -> int:
        """Where robfig's loop would never end, before a day that a zone skips (Apia had no
        2011-12-30), the day after that.
        """
        begin = self._moment(now)
        for days in count(1):
            moment = self._moment(now + timedelta(days=days))
            hour = self._local(moment).hour
            # Midnight may be skipped; so is the hour before it, sometimes.
            if hour != 0:
                moment += ((24 - hour) if hour > 12 else -hour) * _HOUR
            if moment > begin:
                break
        return moment

    def _to_hour(self, moment: int, is_added: bool) -> tuple[int, bool, bool]:
        while (now := self._local(moment)).hour not in self.cron.hours:
            if not is_added:
                is_added = True
                moment = self._moment(now.replace(minute=0, second=0))
            moment += _HOUR
            if self._local(moment).hour == 0:
                return moment, is_added, True
        return moment, is_added, False

    def _to_minute(self, moment: int, is_added: bool) -> tuple[int, bool, bool]:
        while self._local(moment).minute not in self.cron.minutes:
            if not is_added:
                is_added = True
                moment -= moment % _MINUTE
            moment += _MINUTE
            if self._local(moment).minute == 0:
                return moment, is_added, True
        return moment, is_added, False

    def _to_second(self, moment: int, is_added: bool) -> tuple[int, bool, bool]:
        second = self._local(moment).second
        if second == 0:
            return moment, is_added, False
        return moment + _MINUTE - second, True, True

    def _matches_day(self, now: datetime) -> bool:
        in_month = now.day in self.cron.days
        in_week = now.isoweekday() % 7 in self.cron.weekdays
        if self.cron.is_any_day:
            return in_month and in_week
        return in_month or in_week

    def _offset(self, moment: int) -> int:
        local = (_EPOCH + timedelta(seconds=moment)).astimezone(self.zone)
        offset = local.utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    def _local(self, moment: int) -> datetime:
        """The local time that clocks show, without a zone."""
        return _EPOCH_NAIVE + timedelta(seconds=moment + self._offset(moment))

    def _moment(self, local: datetime) -> int:
        """The moment at which clocks show this; for none or two such moments, the one that Go
        uses.
        """
        seconds = int((local - _EPOCH_NAIVE).total_seconds())
        guess = self._offset(seconds)
        return seconds - self._offset(seconds - guess) if guess else seconds
