# SPDX-License-Identifier: Apache-2.0
"""Figures, counts, sizes and durations as people read them. Pure."""


def figure(value: float) -> str:
    """A loss and its like, in four digits."""
    return f"{value:.4g}"


def count(number: float | None) -> str:
    """A count with its thousands apart; a dash for what nobody knows."""
    return "-" if number is None else f"{number:,.0f}"


def bytes_text(size: float) -> str:
    """A size in the unit that people say it in."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def duration(seconds: float) -> str:
    """`2 h 5 min`, `3 min 10 s`, `4.2 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
