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


def test_a_schedule_exports_its_times_and_active_jobs() -> None:
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


def test_a_time_that_has_not_occurred_is_exported_as_zero_for_alerts() -> None:
    assert set(told(a_schedule()).values()) == {0}


def test_a_manually_edited_status_does_not_remove_the_series_of_other_schedules() -> None:
    figures = told(a_schedule("edited", lastScheduleTime="soon"), a_schedule("well"))

    assert {labels[-1] for labels in figures} == {"well"}


def test_many_schedules_of_one_namespace_do_not_hide_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedule_metrics, "MAX_SCHEDULES", 2)
    many = [a_schedule(f"s{day}", day=day) for day in range(2, 9)]

    figures = told(*many, a_schedule("other", namespace="other"))

    assert {labels[1:] for labels in figures} == {("team", "s8"), ("other", "other")}
