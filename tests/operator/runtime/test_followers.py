# SPDX-License-Identifier: Apache-2.0
"""A replica that does not lead caches what it sees, and queues nothing."""

from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from finetune_operator.kube.cache import Kind
from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.metrics import WORK_QUEUE
from support.factories import SETTINGS, a_job_body


def queued() -> float:
    return REGISTRY.get_sample_value("workqueue_adds_total", {"name": WORK_QUEUE}) or 0


@pytest.mark.parametrize("is_leading", [False, True])
def test_only_the_leader_queues_the_jobs_of_events(is_leading: bool) -> None:
    replica, before = Replica(SETTINGS), queued()
    replica._leadership = SimpleNamespace(is_held=is_leading)  # type: ignore[assignment]

    replica.notice(Kind.JOB, a_job_body(), is_gone=False)

    assert queued() == before + is_leading
    assert len(replica._cache.present(Kind.JOB)) == 1
