# SPDX-License-Identifier: Apache-2.0
"""Every error is translated into the next action."""

import asyncio

import pytest

from finetune_operator.kube.cache import ObjectCache
from finetune_operator.kube.client import ApiError
from finetune_operator.objects.errors import Conflict, Gone, NotLeading
from finetune_operator.objects.names import JobKey, Key
from finetune_operator.runtime.worker import Worker
from finetune_operator.telemetry.logs import OneLine
from finetune_operator.work_queue import WorkQueue
from support.factories import NOW, SETTINGS, a_job_body
from support.fake_cluster import FakeCluster
from support.operator_passes import failing_with, work_on


def test_a_successful_pass_clears_the_failures() -> None:
    assert work_on(FakeCluster(a_job_body())) == ["fine"]


def test_passes_that_request_nothing_leave_turns_to_the_lease() -> None:
    keys = [JobKey(namespace="team", label=f"job-{number}") for number in range(50)]
    queue: WorkQueue[Key] = WorkQueue()
    worker = Worker(queue, ObjectCache(), FakeCluster(a_job_body()), SETTINGS, lambda: NOW)

    async def scene() -> int:
        for key in keys:
            queue.add(key)
        working = asyncio.create_task(worker.run())
        turns = 0
        while queue.depth():
            await asyncio.sleep(0)
            turns += 1
        working.cancel()
        return turns

    assert asyncio.run(scene()) >= len(keys)


def test_a_deleted_job_is_skipped() -> None:
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
def test_any_other_error_is_retried_with_backoff(error: Exception) -> None:
    assert work_on(failing_with(error)) == ["again in 0.1"]


def test_a_missing_right_is_reported_in_one_line_with_the_servers_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work_on(failing_with(ApiError(403, "Forbidden", "cannot patch finetunejobs/status")))

    (line,) = [OneLine().format(record) for record in caplog.records]
    assert "WARNING not reconciled job=team/balloon" in line
    assert "403 Forbidden: cannot patch finetunejobs/status" in line
    assert "traceback" not in line
