# SPDX-License-Identifier: Apache-2.0
"""Times as Kubernetes and people write them. No I/O here, and no clock."""

from datetime import UTC, datetime


def parse_time(text: str) -> datetime:
    """An RFC 3339 time, with or without fractions."""
    return datetime.fromisoformat(text)


def render_time(moment: datetime) -> str:
    """Whole seconds in UTC, as `metav1.Time` has them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render_micro_time(moment: datetime) -> str:
    """Microseconds in UTC, as `metav1.MicroTime` has them (Leases)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
