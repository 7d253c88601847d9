# SPDX-License-Identifier: Apache-2.0
"""An unexpected exception during the pass of one job or schedule is reported to its user."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.schedules import KubeSchedules
from finetune_operator.objects import conditions
from finetune_operator.objects.errors import Conflict, NotLeading
from finetune_operator.objects.internal_error import has_internal_error
from finetune_operator.objects.names import FINETUNE_SCHEDULES, JobKey, Key, ScheduleKey
from finetune_operator.runtime import worker as workers
from finetune_operator.runtime.job_metrics import measure_internal_errors
from finetune_operator.runtime.worker import FEW_TRIES, Worker
from finetune_operator.work_queue import WorkQueue
from support.factories import NOW, SETTINGS, a_job_body
from support.fake_api import FakeApi
from support.fake_cluster import FakeCluster
from support.simulated_schedule import a_schedule_body

KEY = JobKey(namespace="team", label="balloon")
ERRORS = [
    KeyError("gpus"),
    RecursionError("maximum recursion depth exceeded"),
    ZeroDivisionError(),
    OverflowError("int too big to convert\nand a second line"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    MemoryError("x" * 100_000),
    ApiError(422, "Invalid", "status.progress.loss: Invalid value"),
]


class Tries(WorkQueue[Key]):
    """A queue without waiting: each try happens when the test requests it."""

    def add_after(self, key: Key, delay: timedelta) -> None:
        self.delay = delay


class Scene:
    """One job, a worker, and an error that ends each pass of the job."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, **job: Any) -> None:
        self.error: Exception | None = error
        self.cluster = FakeCluster(a_job_body(**job))
        self.queue, self.cache = Tries(), ObjectCache()
        self.worker = Worker(self.queue, self.cache, self.cluster, SETTINGS, lambda: NOW)
        looks_at, self.looks = workers.reconcile, 0

        async def reconcile(body: Any, **given: Any) -> Any:
            self.looks += 1
            if self.error is not None:
                raise self.error
            return await looks_at(body, **given)

        monkeypatch.setattr(workers, "reconcile", reconcile)

    def try_to(self, times: int) -> None:
        async def scene() -> None:
            for _ in range(times):
                self.cache.remember(Kind.JOB, self.cluster.job)
                self.queue.add(KEY)
                async with self.queue.take() as key:
                    await self.worker._work_on(key)

        asyncio.run(scene())

    def condition(self, type_: str) -> Any:
        return conditions.find(self.cluster.status.get("conditions", ()), type_)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_after_a_few_tries_the_job_reports_the_error_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scene = Scene(monkeypatch, error)

    scene.try_to(FEW_TRIES - 1)
    assert scene.cluster.writes == []
    scene.try_to(1)

    reconciling, ready = scene.condition("Reconciling"), scene.condition("Ready")
    assert (reconciling["status"], ready["status"]) == ("True", "False")
    assert reconciling["reason"] == ready["reason"] == "InternalError"
    assert type(error).__name__ in ready["message"]
    assert "\n" not in ready["message"]
    assert len(ready["message"]) < 1000
    (sample,) = measure_internal_errors("FineTuneJob", [scene.cluster.job])
    assert sample.value == 1


def test_an_internal_error_is_reported_once_and_not_at_every_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its event causes another try immediately: a second write would start an endless loop."""
    scene = Scene(monkeypatch, KeyError("0"))
    for number in range(20):
        scene.error = KeyError(f"at {number}")
        scene.try_to(1)

    assert scene.cluster.writes == ["status"]
    assert scene.looks == 20


@pytest.mark.parametrize(
    "spec",
    [None, [], {}, {"config": None}, "x" * 100],
    ids=["none", "list", "empty", "no config", "text"],
)
def test_an_internal_error_is_reported_without_reading_the_spec(
    monkeypatch: pytest.MonkeyPatch, spec: Any
) -> None:
    scene = Scene(monkeypatch, KeyError("x"))
    scene.cluster.job["spec"] = spec
    scene.try_to(FEW_TRIES)

    assert scene.condition("Ready")["reason"] == "InternalError"


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "Running", "conditions": [{"type": "Accepted", "status": "True", "reason": "x"}]},
        {"conditions": None},
        {"conditions": ["text", {}]},
        {"attempts": "garbage", "definition": 7},
    ],
)
def test_a_manually_edited_status_does_not_hide_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, status: Any
) -> None:
    scene = Scene(monkeypatch, KeyError("x"), status=status)

    scene.try_to(FEW_TRIES)

    assert scene.condition("Ready")["reason"] == "InternalError"
    if status.get("phase") is not None:
        assert scene.condition("Accepted")["status"] == "True"
        assert scene.cluster.status["phase"] == "Running"


@pytest.mark.parametrize(
    "error",
    [Conflict(), NotLeading(), ApiError(0, "", "no route"), ApiError(403, "Forbidden", "cannot")],
    ids=["conflict", "not leading", "outage", "forbidden"],
)
def test_an_outage_is_not_reported_as_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    scene = Scene(monkeypatch, error)
    scene.try_to(10)
    assert scene.cluster.writes == []


@pytest.mark.parametrize("ending", ["Complete", "Failed"])
def test_the_result_of_a_finished_job_is_kept(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    status = {"conditions": [{"type": ending, "status": "True", "reason": "x"}]}
    scene = Scene(monkeypatch, KeyError("x"), status=status)
    scene.try_to(10)
    assert scene.cluster.writes == []


def test_the_next_successful_try_replaces_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, KeyError("x"))
    scene.try_to(FEW_TRIES)
    scene.error = None
    scene.try_to(1)

    assert not has_internal_error(scene.cluster.job)
    assert scene.condition("Ready")["reason"] != "InternalError"
    assert scene.queue.failures(KEY) == 0


def test_an_edit_is_processed_at_once_however_long_the_backoff() -> None:
    async def scene() -> None:
        queue: WorkQueue[Key] = WorkQueue()
        for _ in range(30):
            queue.retry(KEY)
        assert queue.depth() == 0
        queue.add(KEY)
        assert queue.depth() == 1

    asyncio.run(scene())


def test_a_schedule_reports_an_internal_error_too_and_keeps_its_counters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    api, cache, queue = FakeApi(), ObjectCache(), Tries()
    counted = {"lastScheduleTime": "2026-01-01T00:00:00Z", "times": "0 2 * * * UTC"}
    cache.remember(
        Kind.SCHEDULE, api.put(FINETUNE_SCHEDULES, {**a_schedule_body(), "status": counted})
    )
    schedules = KubeSchedules(api, cache)
    worker = Worker(
        queue, cache, FakeCluster(a_job_body()), SETTINGS, lambda: NOW, schedules=schedules
    )

    async def fail(*_: Any, **__: Any) -> None:
        raise KeyError("uid")

    monkeypatch.setattr(workers, "reconcile_schedule", fail)

    async def scene() -> None:
        for _ in range(FEW_TRIES + 2):
            await worker._work_on(ScheduleKey(namespace="team", name="nightly"))

    asyncio.run(scene())

    status = api.objects[FINETUNE_SCHEDULES, "team", "nightly"]["status"]
    assert conditions.require(status["conditions"], "Ready")["reason"] == "InternalError"
    assert counted.items() <= status.items()
    assert [call for call in api.calls if call.startswith("patch")] == ["patch finetuneschedules"]
