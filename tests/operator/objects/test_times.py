# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime

import pytest

from finetune_operator.objects.times import (
    parse_time,
    render_micro_time,
    render_time,
)
from support.factories import NOW


def test_times_are_formatted_as_kubernetes_does() -> None:
    assert render_time(NOW) == "2026-05-04T12:00:00Z"
    assert render_micro_time(NOW) == "2026-05-04T12:00:00.000000Z"
    assert parse_time("2026-05-04T12:00:00Z") == parse_time("2026-05-04T14:00:00+02:00") == NOW


@pytest.mark.parametrize(
    "text",
    [
        "2026-05-04T12:00:00+99:99",
        "2026-05-04T12:00:00-24:00",
        "2026-05-04T12:00:00ZTx",
        "2026-05-04T12:00:00x5Z",
        "2026-05-04T12:00:00ZT12:00:00Z",
    ],
)
def test_of_a_time_that_only_the_api_server_accepts_the_day_counts(text: str) -> None:
    """Its pattern for `date-time` has any sign before fractions, and offsets of any size."""
    assert parse_time(text) == datetime(2026, 5, 4, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "9" * 30_000])
def test_a_text_without_a_day_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_time(text)
