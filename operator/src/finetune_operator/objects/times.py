# SPDX-License-Identifier: Apache-2.0
"""Times and durations as Kubernetes and people write them. No I/O here, and no clock."""

from datetime import UTC, datetime, timedelta


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, with or without fractions."""
    return datetime.fromisoformat(text)


def render_time(moment: datetime) -> str:
    """Whole seconds in UTC, as `metav1.Time` has them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_micro_time(moment: datetime) -> str:
    """Microseconds in UTC, as `metav1.MicroTime` has them (Leases)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def render_duration(duration: timedelta) -> str:
    """The two largest units, as `kubectl` prints ages: `45s`, `2m30s`, `1h5m`, `3d4h`."""
    seconds = max(0, int(duration.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    shown = [f"{count}{unit}" for count, unit in parts[first : first + 2] if count]
    return "".join(shown) or "0s"
