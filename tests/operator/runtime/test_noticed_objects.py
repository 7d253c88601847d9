# SPDX-License-Identifier: Apache-2.0
"""Which objects that a replica sees lead to a pass."""

from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from finetune_operator.kube.cache import Kind
from finetune_operator.runtime.replica import Replica
from finetune_operator.telemetry.metrics import WORK_QUEUE
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


def test_a_listed_object_is_queued_even_if_a_response_to_a_write_has_cached_it() -> None:
    """Its event would come before the watch begins, and a schedule's new job has no other one."""
    replica, before = a_replica(is_leading=True), queued()
    replica._cache.remember(Kind.JOB, a_job_body())

    replica.notice(Kind.JOB, a_job_body(), is_gone=False)

    assert queued() == before + 1
