# SPDX-License-Identifier: Apache-2.0
"""Durations as Go writes them: `90s`, `1h30m`, `1.5h`. No I/O here."""

import re
from fractions import Fraction

_UNITS = {
    "ns": 1,
    **dict.fromkeys(("us", "µs", "μs"), 1_000),
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_PART = r"(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([-+]?)((?:{_PART})+|0)")
_SPLIT = re.compile(r"([0-9.]+)([^0-9.]+)")
_LONGEST_TEXT = 200
"""Characters."""

_LARGEST = 2**63 - 1


def parse_nanoseconds(text: str) -> int:
    """
    Raises:
        ValueError: Go would not accept it.
    """
    match = _DURATION.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError("expected a duration such as 12h or 1h30m")
    # Go cuts off fractions of a nanosecond for each part.
    total = sum(int(Fraction(number) * _UNITS[unit]) for number, unit in _SPLIT.findall(match[2]))
    if total > _LARGEST:
        raise ValueError("expected a shorter duration: at most 292 years")
    return -total if match[1] == "-" else total
