# SPDX-License-Identifier: Apache-2.0
"""Times as Kubernetes and people write them. No I/O here, and no clock."""

from datetime import UTC, datetime

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Limits of a time: a sum with a time stays in Python's range."""

_DAY = len("2026-05-04")


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, with or without fractions; in UTC if it names no zone.

    Statuses can be edited by hand, and the API server accepts years beyond Python's range. It also
    accepts times that are none, such as `2026-05-04T12:00:00+99:99`: then the day counts.

    Raises:
        ValueError: it does not even begin with a day.
    """
    if text.startswith("0000"):
        return _EARLIEST
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        read = datetime.strptime(text[:_DAY], "%Y-%m-%d").replace(tzinfo=UTC)
    moment = read.replace(tzinfo=UTC) if read.tzinfo is None else read
    if moment < _EARLIEST:
        return _EARLIEST
    return min(moment, _LATEST)


def render_time(moment: datetime) -> str:
    """Full seconds in UTC, as in `metav1.Time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_micro_time(moment: datetime) -> str:
    """Microseconds in UTC, as in `metav1.MicroTime` (Leases)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
