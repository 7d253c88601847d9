# SPDX-License-Identifier: Apache-2.0
"""If a part of a replica ends, the process ends: the reason is logged and counted."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.logs import LOGGER, OneLine
from support.factories import SETTINGS


async def returns() -> None:
    """Ends as if it had no more work."""


async def raises() -> None:
    raise KeyError("gpus")


async def is_cancelled() -> None:
    raise asyncio.CancelledError


def counted() -> float:
    name = "finetune_operator_task_errors_total"
    return REGISTRY.get_sample_value(name, {"task": "progress"}) or 0


@pytest.mark.parametrize("work", [returns, raises, is_cancelled])
def test_a_task_that_ends_unexpectedly_ends_the_process_with_a_reason(
    work: type[None], caplog: pytest.LogCaptureFixture
) -> None:
    before = counted()

    async def scene() -> None:
        replica = Replica(SETTINGS)
        replica._spawn("progress", work())  # type: ignore[arg-type]
        await asyncio.wait_for(replica.has_failed.wait(), 10)

    asyncio.run(scene())

    ours = [record for record in caplog.records if record.name == LOGGER.name]
    (line,) = [OneLine().format(record) for record in ours]
    assert "replica failed task=progress" in line
    assert counted() == before + 1


def test_a_task_that_ends_during_shutdown_is_not_a_failure() -> None:
    async def scene() -> None:
        replica = Replica(SETTINGS)
        replica._is_stopping = True
        task = replica._spawn("progress", raises())
        await asyncio.wait([task])
        assert isinstance(task.exception(), KeyError)
        assert not replica.has_failed.is_set()

    asyncio.run(scene())
