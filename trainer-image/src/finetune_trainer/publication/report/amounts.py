# SPDX-License-Identifier: Apache-2.0
"""Figures and counts as people read them. Pure."""


def figure(value: float) -> str:
    """A loss and its like, in four digits."""
    return f"{value:.4g}"


def count(number: float | None) -> str:
    """A count with its thousands apart; a dash for what nobody knows."""
    return "-" if number is None else f"{number:,.0f}"
