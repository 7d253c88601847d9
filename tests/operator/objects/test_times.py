# SPDX-License-Identifier: Apache-2.0
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
