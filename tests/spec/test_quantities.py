# SPDX-License-Identifier: Apache-2.0
"""Durations: the same text in `kubectl get`, in a trainer's log and in its report."""

import pytest

from finetune_spec.quantities import render_duration

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-3, "0s"),
        (0.25, "0.25s"),
        (4.21, "4.21s"),
        (59, "59s"),
        (75.9, "1m15s"),
        (150, "2m30s"),
        (2 * MINUTE, "2m"),
        (HOUR + 5 * MINUTE + 7, "1h5m"),
        (3 * DAY + 4 * HOUR + 5 * MINUTE, "3d4h"),
        (3 * DAY + 5 * MINUTE, "3d"),
        (10**30, f"{10**30 // DAY}d1h"),
    ],
)
def test_a_duration_shows_two_units(seconds: float, text: str) -> None:
    assert render_duration(seconds) == text
