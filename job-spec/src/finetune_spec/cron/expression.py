# SPDX-License-Identifier: Apache-2.0
"""parse_cron: parses the text of a schedule into the times that it matches. No I/O here.

The standard parser of robfig/cron v3, rule by rule: five fields, names of months and weekdays,
`?` as `*`, Sunday as 0 only, the descriptors, and `@every`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from finetune_spec.config.problem import did_you_mean, quoted
from finetune_spec.cron.go_duration import parse_nanoseconds

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One of the five fields, in their order."""

    name: str
    low: int
    high: int
    names: Mapping[str, int]


_FIELDS = (
    _Field(name="minute", low=0, high=59, names={}),
    _Field(name="hour", low=0, high=23, names={}),
    _Field(name="day of the month", low=1, high=31, names={}),
    _Field(name="month", low=1, high=12, names={name: n for n, name in enumerate(_MONTHS, 1)}),
    _Field(name="day of the week", low=0, high=6, names={n: i for i, n in enumerate(_WEEKDAYS)}),
)

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_EVERY = "@every "

# The characters that Go's strings.Fields treats as spaces.
_SPACES = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
_LONGEST = 1000
"""Characters. A list of every minute of an hour takes 170."""

_NUMBER = re.compile(r"[-+]?[0-9]+")
_LARGEST_NUMBER = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """The allowed values of each part of a local time."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """0 is Sunday."""
    is_any_day: bool
    """Whether the days of the month, or those of the week, are a star: then a day must match both,
    else one of them is sufficient.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A constant delay, independent of the clock."""

    delay: timedelta


Expression = Cron | Every


def parse_cron(text: str) -> Expression:
    """
    Raises:
        ValueError: CronJobs would refuse it; the message has the found and the expected text.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"found {len(text)} characters, expected at most {_LONGEST}")
    if "TZ" in text:
        raise ValueError("found a time zone in it: write it into spec.timeZone")
    if text.startswith("@"):
        return _parse_descriptor(text)
    fields = [field for field in _SPACES.split(text) if field]
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"found {len(fields)} fields, expected five: "
            "minute, hour, day of the month, month, day of the week"
        )
    values, stars = zip(*map(_parse_field, fields, _FIELDS), strict=True)
    minutes, hours, days, months, weekdays = values
    return Cron(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        is_any_day=stars[2] or stars[4],
    )


def _parse_descriptor(text: str) -> Expression:
    if text in _DESCRIPTORS:
        return parse_cron(_DESCRIPTORS[text])
    if text.startswith(_EVERY):
        nanoseconds = parse_nanoseconds(text.removeprefix(_EVERY))
        return Every(delay=timedelta(seconds=max(1, nanoseconds // 1_000_000_000)))
    known = [*_DESCRIPTORS, "@every 12h"]
    hint = did_you_mean(text, known) or f", expected one of {', '.join(known)}"
    raise ValueError(f"found {quoted(text)}{hint}")


def _parse_field(text: str, field: _Field) -> tuple[frozenset[int], bool]:
    """Its values, and whether it contains a star."""
    values: set[int] = set()
    has_star = False
    for part in text.split(","):
        if part:
            found, is_star = _parse_range(part, field)
            values.update(found)
            has_star |= is_star
    return frozenset(values), has_star


def _parse_range(text: str, field: _Field) -> tuple[range, bool]:
    span, *steps = text.split("/")
    first, *rest = span.split("-")
    if len(steps) > 1 or (len(rest) > 1 and first not in ("*", "?")):
        raise _refusal(text, field, "a range such as 1-5, or with a step, 1-5/2")
    is_star = first in ("*", "?")
    low = field.low if is_star else _parse_value(first, text, field)
    high = low
    if is_star:
        high = field.high
    elif rest:
        high = _parse_value(rest[0], text, field)
    step = 1
    if steps:
        step = _parse_number(steps[0], text, field)
        # `5/10` means from 5 on.
        high = high if rest else field.high
        is_star = is_star and step <= 1
    _check_range(low, high, step, text, field)
    return range(low, high + 1, step), is_star


def _check_range(low: int, high: int, step: int, text: str, field: _Field) -> None:
    if low < field.low or high > field.high:
        is_sunday = field.names.get("sun") == 0 and high == 7
        hint = ": Sunday is 0" if is_sunday else ""
        raise _refusal(text, field, f"values from {field.low} to {field.high}{hint}")
    if low > high:
        raise _refusal(text, field, f"an ascending range: {text} is empty")
    if step == 0:
        raise _refusal(text, field, "a step of at least 1")


def _parse_value(text: str, whole: str, field: _Field) -> int:
    known = field.names.get(text.lower())
    return _parse_number(text, whole, field) if known is None else known


def _parse_number(text: str, whole: str, field: _Field) -> int:
    if not _NUMBER.fullmatch(text) or not 0 <= int(text) <= _LARGEST_NUMBER:
        words = ", a name such as " + next(iter(field.names)) if field.names else ""
        raise _refusal(whole, field, f"a number{words}, or *")
    return int(text)


def _refusal(found: str, field: _Field, expected: str) -> ValueError:
    return ValueError(f"found {quoted(found)} for the {field.name}, expected {expected}")
