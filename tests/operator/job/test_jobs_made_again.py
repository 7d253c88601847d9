# SPDX-License-Identifier: Apache-2.0
"""A job that is created again while objects of the deleted one, or of others, have its names."""

from typing import Any

import pytest

from support.factories import a_job_body, a_pod
from support.fake_cluster import FakeCluster
from support.operator_passes import settle


def test_a_name_that_another_owners_job_uses_is_waited_for() -> None:
    cluster = FakeCluster(a_job_body())
    cluster.objects["Job", "balloon-1"] = {
        "metadata": {
            "name": "balloon-1",
            "uid": "x",
            "ownerReferences": [{"uid": "somebody", "controller": True}],
        }
    }
    settle(cluster)

    assert cluster.status["phase"] == "Pending"
    assert "is taken" in cluster.status["conditions"][-1]["message"]
    assert "attempts" not in cluster.status

    del cluster.objects["Job", "balloon-1"]
    settle(cluster)
    assert cluster.status["attempt"] == 1


def made_again(earlier_job: str) -> FakeCluster:
    """A job that has no status yet; of the deleted one, only the Job of an attempt is left."""
    cluster = FakeCluster(a_job_body(uid="uid-of-deleted"))
    settle(cluster)
    earlier = cluster.objects["Job", "balloon-1"]
    earlier["metadata"]["name"] = earlier_job
    cluster.objects = {("Job", earlier_job): earlier}
    cluster.job = a_job_body()
    return cluster


@pytest.mark.parametrize("name", ["balloon-1", "balloon-2"])
def test_a_job_made_again_waits_until_the_last_attempt_of_the_deleted_one_is_deleted(
    name: str,
) -> None:
    """The Job controller may still create its pod: two trainers would write the same run."""
    cluster = made_again(name)

    settle(cluster)

    assert len(cluster.training_jobs()) == 1
    message = cluster.status["conditions"][-1]["message"]
    assert message == f"waiting for earlier pods to save a checkpoint and exit: Job {name}"

    cluster.objects.clear()
    settle(cluster)
    assert cluster.status["attempt"] == 1


@pytest.mark.parametrize(
    ("part", "value"),
    [
        pytest.param("status", {"conditions": [{"type": "Failed", "status": "True"}]}, id="ended"),
        pytest.param("metadata", {"deletionTimestamp": "2026-05-04T12:00:00Z"}, id="ending"),
    ],
)
def test_a_job_of_the_deleted_one_that_creates_no_more_pods_is_not_waited_for(
    part: str, value: dict[str, Any]
) -> None:
    cluster = made_again("balloon-2")
    earlier = cluster.objects["Job", "balloon-2"]
    earlier[part] = earlier.get(part, {}) | value

    settle(cluster)

    assert cluster.status["attempt"] == 1


def test_pods_of_an_earlier_job_may_save_first() -> None:
    cluster = FakeCluster(a_job_body())
    cluster.objects["Pod", "old"] = a_pod(owner="earlier", name="old")

    settle(cluster)

    assert cluster.training_jobs() == []
    assert "old" in cluster.status["conditions"][-1]["message"]
