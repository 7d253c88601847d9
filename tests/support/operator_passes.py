# SPDX-License-Identifier: Apache-2.0
"""Passes over a job with a fake API server: alone, or as a worker runs them for its queue."""

import asyncio
import copy
from datetime import datetime, timedelta

from finetune_operator.job.reconcile import reconcile
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.objects.names import JobKey
from finetune_operator.objects.reconciled import Reconciled
from finetune_operator.runtime.worker import Worker
from finetune_operator.settings import Settings
from finetune_operator.work_queue import WorkQueue
from support.factories import NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster

KEY = JobKey(namespace="team", label="balloon")


def go(
    cluster: FakeCluster, now: datetime = NOW, settings: Settings = SETTINGS
) -> Reconciled | None:
    """One pass over the job as it is now."""
    job = copy.deepcopy(cluster.job)
    return asyncio.run(reconcile(job, cluster=cluster, settings=settings, now=now))


def settle(cluster: FakeCluster, now: datetime = NOW, settings: Settings = SETTINGS) -> None:
    """Passes until nothing is written any more."""
    for _ in range(10):
        done = go(cluster, now, settings)
        if done is None or not done.has_written:
            return
    raise AssertionError("the status never comes to rest")


class RecordingQueue(WorkQueue[JobKey]):
    """Records the calls for a key instead of executing them."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def add_after(self, key: JobKey, delay: timedelta) -> None:
        self.told.append(f"again in {delay.total_seconds()}")

    def forget_failures(self, key: JobKey) -> None:
        self.told.append("fine")


def work_on(cluster: FakeCluster, *, is_known: bool = True) -> list[str]:
    """The calls of the queue after one pass."""
    queue, cache = RecordingQueue(), ObjectCache()
    if is_known:
        cache.remember(Kind.JOB, cluster.job)
    worker = Worker(queue, cache, cluster, SETTINGS, lambda: NOW)

    async def scene() -> None:
        queue.add(KEY)
        working = asyncio.create_task(worker.run())
        await asyncio.sleep(0.01)
        assert not working.done()
        working.cancel()

    asyncio.run(scene())
    return queue.told


def failing_with(error: Exception) -> FakeCluster:
    cluster = FakeCluster(a_job_body())

    async def fail(*_: object) -> None:
        raise error

    cluster.write_status = fail  # type: ignore[assignment,method-assign]
    return cluster
