# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

import pytest

from finetune_operator.objects.times import (
    parse_time,
    render_duration,
    render_micro_time,
    render_time,
)
from support.factories import NOW


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=-3), "0s"),
        (timedelta(seconds=59), "59s"),
        (timedelta(seconds=150), "2m30s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(hours=1, minutes=5, seconds=7), "1h5m"),
        (timedelta(days=3, hours=4, minutes=5), "3d4h"),
        (timedelta(days=3, minutes=5), "3d"),
    ],
)
def test_duration_shows_two_units(duration: timedelta, text: str) -> None:
    assert render_duration(duration) == text


def test_times_are_kubernetes_own() -> None:
    assert render_time(NOW) == "2026-05-04T12:00:00Z"
    assert render_micro_time(NOW) == "2026-05-04T12:00:00.000000Z"
    assert parse_time("2026-05-04T12:00:00Z") == parse_time("2026-05-04T14:00:00+02:00") == NOW
