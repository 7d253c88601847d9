# SPDX-License-Identifier: Apache-2.0
"""The cluster's identity in pods, and the objects around a gang."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.run import JobReference, Run
from finetune_operator.settings import Settings
from support import operator_passes
from support.factories import NOW, SETTINGS, a_good_outcome, a_job_body, an_ended_pod, seconds
from support.fake_cluster import FakeCluster

KNOWN = replace(SETTINGS, cluster_id="5f0c")
TAKE_OVER = "finetune.dev/take-over-from"
GANG = {"resources": {"nodes": 2, "gpusPerNode": 1}}


def settle(cluster: FakeCluster, settings: Settings = KNOWN, later: float = 0) -> None:
    operator_passes.settle(cluster, NOW + seconds(later), settings)


def annotated(value: Any) -> FakeCluster:
    return FakeCluster(a_job_body(metadata={"annotations": {TAKE_OVER: value}}))


def job_in(cluster: FakeCluster) -> JobReference:
    """The job in the run document of the first attempt."""
    document = cluster.objects["ConfigMap", "balloon-1"]["data"]["run.json"]
    return Run.from_json(document).job


def test_a_trainer_receives_the_id_of_its_cluster() -> None:
    cluster = FakeCluster(a_job_body())

    settle(cluster)

    assert job_in(cluster) == JobReference(
        namespace="team", name="balloon", uid="uid-of-job", cluster="5f0c"
    )


def test_a_trainer_receives_the_cluster_it_may_take_over_from() -> None:
    cluster = annotated("51c0")

    settle(cluster)

    assert job_in(cluster).take_over_from == "51c0"


@pytest.mark.parametrize("value", ["", "of the old cluster", "$(id)", "x" * 254])
def test_an_invalid_cluster_id_is_refused_with_its_path(value: str) -> None:
    cluster = annotated(value)

    settle(cluster)

    (accepted,) = [it for it in cluster.status["conditions"] if it["type"] == "Accepted"]
    assert accepted["reason"] == "InvalidSpec"
    assert accepted["message"].startswith(f"metadata.annotations.{TAKE_OVER}: found ")
    assert "expected the id of a cluster" in accepted["message"]
    assert cluster.objects == {}


def test_an_annotation_broken_after_acceptance_takes_nothing_over() -> None:
    cluster = annotated("51c0")
    cluster.job["spec"]["suspend"] = True
    settle(cluster)
    cluster.job["metadata"]["annotations"][TAKE_OVER] = "$(id)"
    cluster.job["spec"]["suspend"] = False

    settle(cluster)

    assert job_in(cluster).take_over_from is None


def test_a_running_job_is_not_changed_when_its_cluster_becomes_known() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster, SETTINGS)
    before = list(cluster.writes)

    settle(cluster, KNOWN)

    assert cluster.writes == before


@pytest.mark.parametrize("later", [0.0, 10.0**6])
def test_a_finished_job_is_not_run_again_when_its_cluster_becomes_known(later: float) -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster, SETTINGS)
    outcome = a_good_outcome()
    cluster.objects["Pod", "balloon-1-abcde"] = an_ended_pod(0, message=outcome.to_json())
    cluster.objects["Job", "balloon-1"]["status"] = {
        "conditions": [
            {"type": "Complete", "status": "True", "lastTransitionTime": "2026-05-04T12:00:00Z"}
        ]
    }
    settle(cluster, SETTINGS)
    before = list(cluster.writes)

    settle(cluster, KNOWN, later)

    assert cluster.status["phase"] == "Succeeded"
    assert cluster.writes == before


def test_a_gang_is_isolated_before_it_has_pods() -> None:
    cluster = FakeCluster(a_job_body(**GANG))

    settle(cluster)

    made = [it.removeprefix("create ") for it in cluster.writes if it.startswith("create ")]
    assert made == ["ConfigMap", "Service", "NetworkPolicy", "Job"]


def test_a_deleted_policy_is_created_again_for_waiting_pods() -> None:
    cluster = FakeCluster(a_job_body(**GANG))
    settle(cluster)
    training_job = cluster.objects["Job", "balloon-1"]
    training_job["status"] = {"startTime": "2026-05-04T12:00:00Z"}
    del cluster.objects["NetworkPolicy", "balloon-1"]

    settle(cluster, later=60)

    assert ("NetworkPolicy", "balloon-1") in cluster.objects
