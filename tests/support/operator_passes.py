# SPDX-License-Identifier: Apache-2.0
"""One pass of a worker over a job, and the resulting calls of its queue."""

import asyncio
from datetime import timedelta

from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.objects.names import JobKey
from finetune_operator.runtime.worker import Worker
from finetune_operator.work_queue import WorkQueue
from support.factories import NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster

KEY = JobKey(namespace="team", label="balloon")


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
