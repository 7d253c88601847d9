# SPDX-License-Identifier: Apache-2.0
"""Every error becomes what happens next."""

import asyncio
from datetime import timedelta

import pytest

from factories import NOW, SETTINGS, a_job_body
from fake_cluster import FakeCluster
from finetune_operator.errors import Conflict, Gone, NotLeading
from finetune_operator.kube_api import ApiError
from finetune_operator.logs import OneLine
from finetune_operator.memory import Kind, Memory
from finetune_operator.naming import JobKey
from finetune_operator.work_queue import WorkQueue
from finetune_operator.worker import Worker

KEY = JobKey(namespace="team", label="balloon")


class RecordingQueue(WorkQueue[JobKey]):
    """Notes what is to happen to a key instead of doing it."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def add_after(self, key: JobKey, delay: timedelta) -> None:
        self.told.append(f"again in {delay.total_seconds()}")

    def forget_failures(self, key: JobKey) -> None:
        self.told.append("fine")


def work_on(cluster: FakeCluster, *, is_known: bool = True) -> list[str]:
    """What the queue is told after one pass."""
    queue, memory = RecordingQueue(), Memory()
    if is_known:
        memory.remember(Kind.JOB, cluster.job)
    worker = Worker(queue, memory, cluster, SETTINGS, lambda: NOW)

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


def test_pass_that_went_well_clears_the_failures() -> None:
    assert work_on(FakeCluster(a_job_body())) == ["fine", "again in 0.0"]


def test_job_that_is_gone_is_left_alone() -> None:
    assert work_on(FakeCluster(a_job_body()), is_known=False) == ["fine"]
    assert work_on(failing_with(Gone())) == ["fine"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Conflict(), id="newer version"),
        pytest.param(NotLeading(), id="another's turn"),
        pytest.param(ApiError(403, "Forbidden", "cannot patch"), id="no right"),
        pytest.param(ConnectionError("no route"), id="no API server"),
        pytest.param(KeyError("a mistake of ours"), id="bug"),
    ],
)
def test_anything_else_is_tried_again_with_backoff(error: Exception) -> None:
    assert work_on(failing_with(error)) == ["again in 0.1"]


def test_missing_right_is_told_in_one_line_in_the_servers_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work_on(failing_with(ApiError(403, "Forbidden", "cannot patch finetunejobs/status")))

    (line,) = [OneLine().format(record) for record in caplog.records]
    assert "WARNING not reconciled job=team/balloon" in line
    assert "403 Forbidden: cannot patch finetunejobs/status" in line
    assert "traceback" not in line
