# SPDX-License-Identifier: Apache-2.0
"""The messages about invalid schedules; the meaning of valid ones is compared with Kubernetes."""

from datetime import UTC, datetime

import pytest

from finetune_spec.cron.expression import parse_cron
from finetune_spec.cron.times import next_time
from finetune_spec.cron.zones import find_zone


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("0 2 * *", "found 4 fields, expected five: minute, hour,", id="four fields"),
        pytest.param("0 0 2 * * *", "found 6 fields, expected five", id="with seconds"),
        pytest.param("", "found 0 fields", id="nothing"),
        pytest.param("60 * * * *", "for the minute, expected values from 0 to 59", id="minute 60"),
        pytest.param("0 24 * * *", "for the hour, expected values from 0 to 23", id="hour 24"),
        pytest.param("0 0 0 * *", "the day of the month, expected values from 1", id="day 0"),
        pytest.param("0 0 * * 7", "values from 0 to 6: Sunday is 0", id="Sunday as 7"),
        pytest.param("0 0 * * fry", "a name such as sun", id="no weekday"),
        pytest.param("10-5 * * * *", "an ascending range: 10-5 is empty", id="backwards"),
        pytest.param("*/0 * * * *", "a step of at least 1", id="no step"),
        pytest.param("x * * * *", 'found "x" for the minute, expected a number', id="a letter"),
        pytest.param("@reboot", "expected one of @yearly", id="no descriptor"),
        pytest.param("@dayly", "did you mean @daily?", id="typo"),
        pytest.param("@every night", "expected a duration such as 12h", id="no duration"),
        pytest.param("TZ=UTC 0 2 * * *", "write it into spec.timeZone", id="time zone"),
        pytest.param("CRON_TZ=UTC @daily", "write it into spec.timeZone", id="cron's time zone"),
    ],
)
def test_an_unreadable_schedule_is_refused_with_what_is_expected(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r"found|expected") as error:
        parse_cron(text)

    assert words in str(error.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("Europe/Berln", "did you mean Europe/Berlin?", id="typo"),
        pytest.param("europe/berlin", "did you mean Europe/Berlin?", id="lower case"),
        pytest.param("Local", "expected a time zone such as Europe/Berlin", id="local"),
        pytest.param("", "expected a name such as", id="empty"),
        pytest.param("../etc/passwd", "expected a name such as", id="a path"),
        pytest.param("/Europe/Berlin", "did you mean Europe/Berlin?", id="an absolute path"),
        pytest.param("Europe", "found", id="a folder"),
    ],
)
def test_an_unknown_time_zone_gets_the_nearest_one(name: str, words: str) -> None:
    with pytest.raises(ValueError, match="found") as error:
        find_zone(name)

    assert words in str(error.value)


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        pytest.param(
            "30 2 * * *", "2026-03-28T12:00Z", "2026-03-30T00:30Z", id="an hour that is left out"
        ),
        pytest.param(
            "30 2 * * *", "2026-10-25T00:00Z", "2026-10-25T00:30Z", id="an hour that comes twice"
        ),
        pytest.param("0 9 * * 1", "2026-03-28T12:00Z", "2026-03-30T07:00Z", id="after the change"),
    ],
)
def test_daylight_saving_time_is_followed(schedule: str, after: str, expected: str) -> None:
    found = next_time(
        parse_cron(schedule), datetime.fromisoformat(after), find_zone("Europe/Berlin")
    )

    assert found == datetime.fromisoformat(expected)


def test_a_day_that_a_zone_skips_is_skipped() -> None:
    found = next_time(
        parse_cron("0 5 30,31 12 *"), datetime(2011, 12, 28, tzinfo=UTC), find_zone("Pacific/Apia")
    )

    assert found == datetime.fromisoformat("2011-12-31T05:00+14:00")


def test_a_date_that_never_occurs_has_no_next_time() -> None:
    never = parse_cron("0 0 31 2 *")

    assert next_time(never, datetime(2026, 1, 1, tzinfo=UTC), find_zone("UTC")) is None
