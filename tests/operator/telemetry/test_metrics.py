# SPDX-License-Identifier: Apache-2.0
"""The output for Prometheus, as it parses it."""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from finetune_operator.kube.client import ApiError
from finetune_operator.objects.errors import Conflict
from finetune_operator.runtime import job_metrics
from finetune_operator.runtime.job_metrics import measure_jobs
from finetune_operator.telemetry.metrics import GAUGES, Gauges, QueueMetrics, Sample
from finetune_operator.webhook.server import answer
from finetune_operator.work_queue import WorkQueue
from support.factories import SETTINGS, a_job_body
from support.fake_cluster import FakeCluster
from support.operator_passes import failing_with, work_on

TRAINING = {
    "phase": "Running",
    "gpus": 2,
    "attempt": 3,
    "progress": {
        "step": 40,
        "totalSteps": 100,
        "loss": 0.5,
        "tokensPerSecond": 1200,
        "updated": "2026-01-31T12:00:00Z",
    },
    "gpuHours": {"used": 0.5, "wasted": 0.25},
}
FAILED = {
    "phase": "Failed",
    "failure": {"reason": "OutOfMemory"},
    "conditions": [{"type": "Failed", "status": "True"}],
    "gpuHours": {"used": 1, "wasted": 1},
    "progress": {"step": 3},
}


def a_known_job(name: str = "balloon", *, status: Any = None, day: int = 1) -> dict[str, Any]:
    created = {"creationTimestamp": f"2026-01-{day:02d}T00:00:00Z"}
    return a_job_body(name, status=status, metadata=created)


def told(samples: Iterable[Sample]) -> dict[tuple[str, ...], float]:
    return {(sample.gauge, *sample.labels): sample.value for sample in samples}


def test_a_training_job_exports_its_figures() -> None:
    figures = told(measure_jobs([a_known_job(status=TRAINING)]))

    assert {gauge: value for (gauge, *labels), value in figures.items() if "balloon" in labels} == {
        "finetune_job_gpus": 2,
        "finetune_job_attempt": 3,
        "finetune_job_step": 40,
        "finetune_job_total_steps": 100,
        "finetune_job_loss": 0.5,
        "finetune_job_tokens_per_second": 1200,
        "finetune_job_progress_timestamp_seconds": 1769860800,
    }


def test_jobs_are_counted_by_phase_and_failures_by_reason() -> None:
    jobs = [
        a_known_job("new"),
        a_known_job("one", status=TRAINING),
        a_known_job("two", status=TRAINING),
        a_known_job("three", status=FAILED),
    ]

    figures = told(measure_jobs(jobs))

    assert figures["finetune_jobs", "team", "Pending"] == 1
    assert figures["finetune_jobs", "team", "Running"] == 2
    assert figures["finetune_jobs", "team", "Failed"] == 1
    assert figures["finetune_jobs_failed", "team", "OutOfMemory"] == 1


def test_notes_are_counted_by_severity_and_reason_with_a_bounded_number_of_series() -> None:
    def noted(name: str, *reasons: str) -> dict[str, Any]:
        notes = [{"severity": "Warning", "reason": it, "message": "m"} for it in reasons]
        return a_known_job(name, status={"phase": "Succeeded", "notes": notes})

    jobs = [
        noted("one", "RowsLeftOut", "Made"),
        noted("two", "RowsLeftOut", "Up"),
        a_known_job("three", status=TRAINING),
    ]

    figures = told(measure_jobs(jobs))

    assert {key: value for key, value in figures.items() if key[0] == "finetune_job_notes"} == {
        ("finetune_job_notes", "team", "Warning", "RowsLeftOut"): 2,
        ("finetune_job_notes", "team", "Warning", "Other"): 2,
    }


def test_a_finished_job_has_no_series_of_its_own() -> None:
    figures = told(measure_jobs([a_known_job("ended", status=FAILED)]))

    assert not [labels for labels in figures if "ended" in labels]


def test_only_the_newest_jobs_have_their_own_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_metrics, "MAX_JOBS", 1)
    jobs = [
        a_known_job("old", status=TRAINING, day=1),
        a_known_job("new", status=TRAINING, day=2),
    ]

    figures = told(measure_jobs(jobs))

    assert ("finetune_job_step", "team", "new") in figures
    assert ("finetune_job_step", "team", "old") not in figures
    assert figures["finetune_jobs", "team", "Running"] == 2


@pytest.fixture
def exposed() -> Iterator[None]:
    gauges = Gauges(lambda: measure_jobs([a_known_job(status=TRAINING)]))
    gauges.expose()
    yield
    gauges.withdraw()


def test_the_gauges_are_exposed_to_prometheus(exposed: None) -> None:
    of_job = {"namespace": "team", "finetunejob": "balloon"}

    assert REGISTRY.get_sample_value("finetune_job_step", of_job) == 40
    assert all(GAUGES[family.name] for family in REGISTRY.collect() if family.name in GAUGES)


def test_a_stopped_replica_exports_nothing() -> None:
    gauges = Gauges(lambda: [Sample("finetune_operator_leader", 1)])
    gauges.expose()
    gauges.withdraw()
    gauges.withdraw()

    assert REGISTRY.get_sample_value("finetune_operator_leader") is None


@pytest.mark.parametrize(
    ("cluster", "result", "reason"),
    [
        pytest.param(FakeCluster(a_job_body()), "written", "PodsNotRunning", id="status written"),
        pytest.param(failing_with(Conflict()), "postponed", "Conflict", id="newer version"),
        pytest.param(
            failing_with(ApiError(403, "Forbidden", "no")), "failed", "Forbidden", id="no right"
        ),
        pytest.param(
            failing_with(ApiError(502, "", "bad")), "failed", "502", id="a proxy's answer"
        ),
        pytest.param(failing_with(KeyError("x")), "failed", "KeyError", id="bug"),
    ],
)
def test_a_reconciliation_is_counted_by_its_result(
    cluster: FakeCluster, result: str, reason: str
) -> None:
    labels = {"kind": "FineTuneJob", "result": result, "reason": reason}

    def count() -> float:
        name = "finetune_operator_reconciles_total"
        return REGISTRY.get_sample_value(name, labels) or 0

    before = count()
    work_on(cluster)

    assert count() == before + 1


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("Surprise", "allowed"), (None, "allowed"), (["FineTuneJob"], "unchecked")],
)
def test_invented_kinds_are_counted_as_one(kind: object, verdict: str) -> None:
    def count() -> float:
        labels = {"kind": "other", "verdict": verdict}
        return REGISTRY.get_sample_value("finetune_operator_webhook_reviews_total", labels) or 0

    before = count()
    asyncio.run(answer({"uid": "1", "kind": {"kind": kind}, "object": {}}, SETTINGS))

    assert count() == before + 1


def test_the_queue_reports_how_many_keys_wait() -> None:
    async def scene() -> int:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("one")
        queue.add("one")
        queue.add("two")
        queue.add_after("three", timedelta(hours=1))
        return queue.depth()

    assert asyncio.run(scene()) == 2


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("workqueue_adds_total", 1),
        ("workqueue_retries_total", 1),
        ("workqueue_queue_duration_seconds_count", 1),
        ("workqueue_work_duration_seconds_count", 1),
        ("workqueue_queue_duration_seconds_sum", 3),
        ("workqueue_work_duration_seconds_sum", 4),
    ],
)
def test_the_queue_metrics_use_client_gos_names(metric: str, expected: float) -> None:
    async def scene() -> None:
        clock = iter((0.0, 3.0, 7.0))
        queue: WorkQueue[str] = WorkQueue(QueueMetrics(), lambda: next(clock))
        queue.add("one")
        async with queue.take() as key:
            queue.retry(key)

    def value() -> float:
        return REGISTRY.get_sample_value(metric, {"name": "finetune"}) or 0

    before = value()
    asyncio.run(scene())

    assert value() == before + expected


def test_the_queue_gauges_use_client_gos_names_and_label() -> None:
    names = ("depth", "unfinished_work_seconds", "longest_running_processor_seconds")

    assert {GAUGES[f"workqueue_{name}"][1] for name in names} == {("name",)}
