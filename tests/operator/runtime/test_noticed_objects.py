# SPDX-License-Identifier: Apache-2.0
"""Which objects that a replica sees lead to a pass."""

from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from finetune_operator.kube.cache import Kind
from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.metrics import WORK_QUEUE, QueueMetrics
from finetune_operator.work_queue import WorkQueue
from support.factories import SETTINGS, a_job_body


def queued() -> float:
    return REGISTRY.get_sample_value("workqueue_adds_total", {"name": WORK_QUEUE}) or 0


def a_replica(*, is_leading: bool) -> Replica:
    replica = Replica(SETTINGS)
    replica._leadership = SimpleNamespace(is_held=is_leading)  # type: ignore[assignment]
    return replica


@pytest.mark.parametrize("is_leading", [False, True])
def test_only_the_leader_queues_the_jobs_of_events(is_leading: bool) -> None:
    replica, before = a_replica(is_leading=is_leading), queued()

    replica.notice(Kind.JOB, a_job_body(), is_gone=False)

    assert queued() == before + is_leading
    assert len(replica._cache.present(Kind.JOB)) == 1


def test_an_object_that_is_listed_again_causes_no_second_pass_until_it_changes() -> None:
    replica, before = a_replica(is_leading=True), queued()
    old, new = (a_job_body(metadata={"resourceVersion": version}) for version in ("7", "8"))
    replica.notice_page(Kind.JOB, [old])
    replica._queue = WorkQueue(QueueMetrics())

    replica.notice_page(Kind.JOB, [old, {}])
    assert queued() == before + 1

    replica.notice_page(Kind.JOB, [new])
    assert queued() == before + 2
