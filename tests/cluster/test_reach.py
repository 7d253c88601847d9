# SPDX-License-Identifier: Apache-2.0
"""The isolation of a job, on a real control plane: which pods reach its nodes, and which locations
it owns.

The network enforces policies. There is no network here, and that of the tests' own cluster (the CNI
plugin `ptp`) enforces no NetworkPolicy. So these tests read from the API server which pods a policy
selects and admits; that no packet passes is not verified.
"""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from cluster.replicas import JOBS, Stage, finish, wait_until
from finetune_contract.run import Run
from testbed.control_plane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

ACCOUNT = "system:serviceaccount:finetune-system:finetune-operator"


def apply_gang(stage: Stage, name: str, **spec: Any) -> str:
    stage.apply(name, resources={"nodes": 2, "gpusPerNode": 1}, **spec)
    wait_until(lambda: len(pods_of(stage, name)) == 2, f"{name} has its pods")
    return name


def pods_of(stage: Stage, name: str) -> set[str]:
    label = f"finetune.dev/job={name}"
    return selected(stage, label)


def selected(stage: Stage, selector: str) -> set[str]:
    path = f"/api/v1/namespaces/{stage.namespace}/pods?labelSelector={quote(selector)}"
    return {it["metadata"]["name"] for it in stage.ask("GET", path)["items"]}


def chosen_by(stage: Stage, selector: Mapping[str, Any]) -> set[str]:
    """The pods of the namespace that a LabelSelector selects."""
    assert set(selector) == {"matchLabels"}
    return selected(stage, ",".join(f"{key}={it}" for key, it in selector["matchLabels"].items()))


def policy_of(stage: Stage, name: str) -> dict[str, Any] | None:
    path = f"/apis/networking.k8s.io/v1/namespaces/{stage.namespace}/networkpolicies/{name}-1"
    found: dict[str, Any] | None = stage.ask("GET", path)
    return found


def test_the_nodes_of_a_gang_are_reachable_only_by_each_other(stage: Stage) -> None:
    for name in ("gang", "other"):
        apply_gang(stage, name)
    stage.apply("single")
    wait_until(lambda: len(pods_of(stage, "single")) == 1, "the single node has its pod")

    policy = policy_of(stage, "gang")

    assert policy is not None
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert chosen_by(stage, policy["spec"]["podSelector"]) == pods_of(stage, "gang")
    (rule,) = policy["spec"]["ingress"]
    (peer,) = rule.pop("from")
    # No ports: all of them. No namespaceSelector: this namespace.
    assert (rule, set(peer)) == ({}, {"podSelector"})
    assert chosen_by(stage, peer["podSelector"]) == pods_of(stage, "gang")
    assert policy_of(stage, "single") is None


def test_the_policy_exists_before_the_pods_and_is_owned_by_the_job(stage: Stage) -> None:
    apply_gang(stage, "gang")
    policy, job = policy_of(stage, "gang"), stage.job("gang")

    assert policy is not None
    assert job is not None
    (owner,) = policy["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("FineTuneJob", job["metadata"]["uid"])
    made = stage.training_jobs()["gang-1"]["metadata"]["creationTimestamp"]
    assert policy["metadata"]["creationTimestamp"] <= made
    assert [write.status for write in stage.audit if write.resource == "networkpolicies"] == [201]


def test_the_policy_is_deleted_with_the_job(stage: Stage) -> None:
    apply_gang(stage, "gang")

    stage.ask("DELETE", f"{JOBS.format(stage.namespace)}/gang")

    wait_until(lambda: policy_of(stage, "gang") is None, "the policy is gone")


def test_the_policy_is_deleted_when_a_finished_job_expires(stage: Stage) -> None:
    apply_gang(stage, "gang", ttlSecondsAfterFinished=0)

    finish(stage, "gang")

    wait_until(lambda: policy_of(stage, "gang") is None, "the policy is gone")
    assert stage.phase("gang") == "Succeeded"


def test_a_trainer_receives_the_uid_of_kube_system_as_the_cluster_id(stage: Stage) -> None:
    stage.apply("balloon")
    wait_until(lambda: "balloon-1" in stage.training_jobs(), "the attempt is made")

    path = f"/api/v1/namespaces/{stage.namespace}/configmaps/balloon-1"
    run = Run.from_json(stage.ask("GET", path)["data"]["run.json"])

    system = stage.ask("GET", "/api/v1/namespaces/kube-system")
    assert run.job.cluster == system["metadata"]["uid"]
    assert run.job.take_over_from is None


@pytest.mark.parametrize(
    ("verb", "name", "is_allowed"),
    [
        ("get", "kube-system", True),
        ("get", "default", False),
        ("get", "", False),
        ("list", "", False),
        ("watch", "", False),
        ("patch", "kube-system", False),
        ("delete", "kube-system", False),
    ],
)
def test_the_operator_may_read_only_one_namespace(
    plane: ControlPlane, verb: str, name: str, is_allowed: bool
) -> None:
    asked = {"resource": "namespaces", "version": "v1", "verb": verb, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": ACCOUNT, "resourceAttributes": asked},
    }

    answer = json.loads(plane.kubectl("create", "-o", "json", "-f", "-", input=json.dumps(review)))

    assert answer["status"]["allowed"] is is_allowed, json.dumps(answer["status"])
