# SPDX-License-Identifier: Apache-2.0
"""Large jobs are processed completely, one at a time, and nothing waits for them."""

import asyncio
import json
from typing import Any

import pytest

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.kube.large import WholeObjects
from finetune_operator.kube.pages import parse_object
from finetune_operator.objects.errors import Conflict, Gone
from finetune_operator.objects.large import is_outline
from finetune_operator.objects.names import JobKey
from finetune_operator.runtime import worker as workers
from finetune_operator.runtime.worker import Worker
from finetune_operator.work_queue import WorkQueue
from support.factories import CONFIG, NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster

SMALL, LARGE = "small", ("large-0", "large-1", "large-2")


def a_large_job(name: str) -> Any:
    config = {**CONFIG, "run_name": "x" * 30_000, "env": {"A": "x" * 30_000}}
    return parse_object(json.dumps(a_job_body(name, uid=name, config=config)).encode())


def remembered(cache: ObjectCache, job: Any) -> JobKey:
    key = cache.remember(Kind.JOB, job)
    assert isinstance(key, JobKey)
    return key


class Scene:
    """Four jobs, four workers; a fake `reconcile` records its job, and takes time for large
    ones.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache = ObjectCache()
        self.jobs = {name: a_large_job(name) for name in LARGE}
        self.jobs[SMALL] = a_job_body(SMALL, uid=SMALL)
        self.keys: dict[str, JobKey] = {}
        self.done: list[str] = []
        self.all_done = asyncio.Event()
        self.at_a_time = self.most_at_a_time = 0
        for name, job in self.jobs.items():
            self.keys[name] = remembered(self.cache, job)
        monkeypatch.setattr(workers, "reconcile", self._reconcile)

    async def find_whole(self, body: Any) -> Any:
        """The API server."""
        return self.jobs[body["metadata"]["name"]]

    async def _reconcile(self, body: Any, **_: Any) -> None:
        name = body["metadata"]["name"]
        assert body["spec"] == self.jobs[name]["spec"]
        if name in LARGE:
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
            await asyncio.sleep(0.05)
            self.at_a_time -= 1
        self.done.append(name)
        if len(self.done) == len(self.jobs):
            self.all_done.set()

    def run(self) -> None:
        async def scene() -> None:
            queue: WorkQueue[Any] = WorkQueue()
            cluster = FakeCluster(self.jobs[SMALL])
            worker = Worker(
                queue, self.cache, cluster, SETTINGS, lambda: NOW, find_whole=self.find_whole
            )
            for name in (*LARGE, SMALL):
                queue.add(self.keys[name])
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                working = [group.create_task(worker.run()) for _ in range(2)]
                await self.all_done.wait()
                for each in working:
                    each.cancel()

        asyncio.run(scene())


def test_large_jobs_are_processed_one_at_a_time_and_small_ones_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch)
    assert all(is_outline(scene.cache.find_job(scene.keys[name]) or {}) for name in LARGE)

    scene.run()

    assert sorted(scene.done) == sorted(scene.jobs)
    assert scene.done[0] == SMALL
    assert scene.most_at_a_time == 1


class Answers:
    """A fake client of the API server: one response to everything."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def get(self, *_: Any) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def whole(answer: Any, cache: ObjectCache) -> WholeObjects:
    return WholeObjects(Answers(answer), cache)  # type: ignore[arg-type]


def test_the_newest_version_is_processed_and_its_outline_cached() -> None:
    cache = ObjectCache()
    key = remembered(cache, a_large_job("large-0"))
    newer = a_large_job("large-0")
    newer["metadata"] = {**newer["metadata"], "resourceVersion": "99"}
    known = cache.find_job(key)
    assert known is not None

    found = asyncio.run(whole(newer, cache).find(known))

    assert found is newer
    after = cache.find_job(key)
    assert after is not None
    assert is_outline(after)
    assert after["metadata"]["resourceVersion"] == "99"


@pytest.mark.parametrize(
    ("status", "expected"), [(404, Gone), (409, Conflict), (503, ApiError), (0, ApiError)]
)
def test_a_failed_fetch_of_a_large_job_is_handled_like_any_other(
    status: int, expected: type[Exception]
) -> None:
    cache = ObjectCache()
    cache.remember(Kind.JOB, a_large_job("large-0"))
    (known,) = cache.present(Kind.JOB)
    refusal = ApiError(status, "", "no")

    with pytest.raises(expected):
        asyncio.run(whole(refusal, cache).find(known))
