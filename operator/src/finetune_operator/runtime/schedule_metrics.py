# SPDX-License-Identifier: Apache-2.0
"""measure_schedules: the Prometheus metrics of a cluster's schedules. No I/O here.

Reads their status, not their jobs, because those are deleted regularly.
"""

from collections.abc import Iterable, Iterator

from finetune_operator.objects.names import FINETUNE_SCHEDULES
from finetune_operator.objects.raw import Body
from finetune_operator.objects.times import parse_time
from finetune_operator.runtime.fair_turns import in_turn
from finetune_operator.telemetry import metrics
from finetune_operator.telemetry.metrics import Sample

MAX_SCHEDULES = 1000
"""The number of schedules with series: the newest of each namespace, in turn."""

TIMES = {
    "lastScheduleTime": "finetune_schedule_last_schedule_timestamp_seconds",
    "lastSuccessfulTime": "finetune_schedule_last_success_timestamp_seconds",
    "lastMissedTime": "finetune_schedule_last_missed_timestamp_seconds",
}
"""Fields of the status, and their gauges; 0 if there is no value yet."""


def measure_schedules(schedules: Iterable[Body]) -> Iterator[Sample]:
    for body in in_turn(schedules)[:MAX_SCHEDULES]:
        try:
            figures = list(_figures(body))
        except (ValueError, TypeError, ArithmeticError):
            # A status may be edited by hand; an invalid one must not remove all other series.
            metrics.count_skipped(FINETUNE_SCHEDULES.plural, "metrics")
            continue
        yield from figures


def _figures(body: Body) -> Iterator[Sample]:
    metadata, status = body["metadata"], body.get("status", {})
    labels = (metadata["namespace"], metadata["name"])
    yield Sample("finetune_schedule_active_jobs", int(status.get("activeCount", 0)), labels)
    for name, gauge in TIMES.items():
        told = status.get(name)
        yield Sample(gauge, 0 if told is None else parse_time(told).timestamp(), labels)
