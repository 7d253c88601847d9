# SPDX-License-Identifier: Apache-2.0
"""Figures and counts in readable form. Pure."""


def figure(value: float) -> str:
    """A loss or similar figure, with four digits."""
    return f"{value:.4g}"


def count(number: float | None) -> str:
    """A count with thousands separators; a dash if unknown."""
    return "-" if number is None else f"{number:,.0f}"
