# SPDX-License-Identifier: Apache-2.0
"""The metrics of schedules: from their status, whatever happened to their jobs."""

from typing import Any

import pytest

from finetune_operator.runtime import schedule_metrics
from finetune_operator.runtime.schedule_metrics import measure_schedules

PREFIX = "finetune_schedule_"


def a_schedule(
    name: str = "nightly", *, namespace: str = "team", day: int = 1, **status: Any
) -> dict[str, Any]:
    created = f"2026-01-{day:02d}T00:00:00Z"
    metadata = {"namespace": namespace, "name": name, "creationTimestamp": created}
    return {"metadata": metadata, "spec": {}, "status": status}


def told(*schedules: dict[str, Any]) -> dict[tuple[str, ...], float]:
    found = measure_schedules(schedules)
    return {(it.gauge.removeprefix(PREFIX), *it.labels): it.value for it in found}


def test_a_schedule_tells_its_times_and_what_is_active() -> None:
    figures = told(
        a_schedule(
            activeCount=2,
            lastScheduleTime="1970-01-02T00:00:00Z",
            lastSuccessfulTime="1970-01-01T12:00:00Z",
            lastMissedTime="1970-01-01T01:00:00Z",
        )
    )

    assert figures == {
        ("active_jobs", "team", "nightly"): 2,
        ("last_schedule_timestamp_seconds", "team", "nightly"): 86400,
        ("last_success_timestamp_seconds", "team", "nightly"): 43200,
        ("last_missed_timestamp_seconds", "team", "nightly"): 3600,
    }


def test_what_has_not_happened_yet_is_zero_so_that_an_alert_can_compare_it() -> None:
    assert set(told(a_schedule()).values()) == {0}


def test_a_status_edited_by_hand_costs_no_other_schedule_its_series() -> None:
    figures = told(a_schedule("edited", lastScheduleTime="soon"), a_schedule("well"))

    assert {labels[-1] for labels in figures} == {"well"}


def test_many_schedules_of_one_namespace_hide_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule_metrics, "MAX_SCHEDULES", 2)
    many = [a_schedule(f"s{day}", day=day) for day in range(2, 9)]

    figures = told(*many, a_schedule("other", namespace="other"))

    assert {labels[1:] for labels in figures} == {("team", "s8"), ("other", "other")}
