# SPDX-License-Identifier: Apache-2.0
"""Times written into a status by hand: due times are computed in bounded time, and correctly."""

from datetime import UTC, datetime, timedelta

import pytest

from finetune_operator.objects.times import parse_time, render_time
from finetune_operator.schedule.due import Due, Timetable, find_due, find_next
from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.zones import find_zone
from support.hostile import quickly
from support.long_form import keeping

NOW = datetime(2026, 5, 4, 12, 0, 30, tzinfo=UTC)


def table(text: str, zone: str = "UTC", deadline: timedelta | None = None) -> Timetable:
    expression = parse_cron(text)
    return Timetable(expression=expression, zone=find_zone(zone), starting_deadline=deadline)


def newest_by_hand(schedule: Timetable, span: timedelta) -> datetime | None:
    """Step by step, over a span that contains a time."""
    found, moment = None, schedule.next_after(NOW - span)
    while moment is not None and moment <= NOW:
        found, moment = moment, schedule.next_after(moment)
    return found


@pytest.mark.parametrize(
    "zone", keeping(("Europe/Berlin",), ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
)
@pytest.mark.parametrize("since", [datetime(1970, 1, 31, 23, 58, tzinfo=UTC)])
@pytest.mark.parametrize(
    "text",
    ["* * * * *", "* * * 1-6 *", "* * 1-15 2-12 *", "*/7 0-22 * * 1-5", "@every 1s"],
)
def test_a_schedule_due_since_1970_is_evaluated_quickly(
    text: str, since: datetime, zone: str
) -> None:
    schedule = table(text, zone)

    due = quickly(lambda: find_due(schedule, since, NOW))
    quickly(lambda: find_next(schedule, since, NOW))

    assert due.missed > 50
    assert due.start is not None
    if not text.startswith("@"):
        assert due.start == newest_by_hand(schedule, timedelta(days=5))
    following = schedule.next_after(due.start)
    assert following is not None
    assert following > NOW


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("0000-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "1970-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-12:00", "9000-01-01T00:00:00Z"),
        ("2026-05-04T12:00:00", "2026-05-04T12:00:00Z"),
        ("2026-05-04T12:00:00.5+02:00", "2026-05-04T10:00:00Z"),
    ],
)
def test_a_time_that_no_clock_shows_is_mapped_to_the_nearest_valid_one(
    written: str, read: str
) -> None:
    assert render_time(parse_time(written)) == read


@pytest.mark.parametrize("text", ["* * * * *", "0 0 29 2 *", "@every 2540400h"])
@pytest.mark.parametrize("since", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_no_last_schedule_time_breaks_a_schedule(text: str, since: str) -> None:
    due = quickly(lambda: find_due(table(text), parse_time(since), NOW))

    assert isinstance(due, Due)
