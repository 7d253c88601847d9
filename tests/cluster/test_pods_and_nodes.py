# SPDX-License-Identifier: Apache-2.0
"""Pods that are not created, or are deleted with their node or namespace, on a real control plane.

The node is an object without heartbeats, like one whose kubelet has died; its earlier reports about
its pods are simulated.
"""

from functools import partial
from typing import Any

import pytest

from cluster.replicas import Stage, finish, is_begun, message_of, reason_of, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

NODE = "gpu-7"


@pytest.mark.parametrize(
    "has_run",
    [
        pytest.param(False, id="the first"),
        pytest.param(True, id="a replacement", marks=pytest.mark.long),
    ],
)
def test_pods_refused_by_a_quota_are_reported_with_the_api_servers_message(
    stage: Stage, has_run: bool
) -> None:
    name = "evicted" if has_run else "hungry"
    if has_run:
        stage.apply(name)
        wait_until(lambda: len(stage.pods()) == 1, "its pod is made")
    path = f"/api/v1/namespaces/{stage.namespace}/resourcequotas"
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    stage.ask("POST", path, quota)
    wait_until(lambda: "hard" in stage.ask("GET", f"{path}/none")["status"], "the quota holds")
    if has_run:
        stage.evict(stage.pods()[0])
    else:
        stage.apply(name)

    wait_until(lambda: "exceeded quota: none" in message_of(stage, name), "it is told")

    assert stage.phase(name) == "Starting"
    stage.ask("DELETE", f"{path}/none")
    finish(stage, name)
    assert len(stage.status(name)["attempts"]) == 1


@pytest.mark.long
def test_evictions_are_recorded_and_end_a_job_that_gains_no_step(stage: Stage) -> None:
    name = stage.apply("evicted-again")
    message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi."
    for number in range(1, 6):
        # The Job controller takes longer for each replacement.
        wait_until(lambda: len(alive(stage)) == 1, "its pod is made", 300)
        stage.evict(alive(stage)[0], message)
        wait_until(partial(has_recorded, stage, name, number), "it is recorded")

    wait_until(lambda: stage.phase(name) == "Failed", "the job has failed")

    status = stage.status(name)
    assert status["failure"]["reason"] == "InterruptedTooOften"
    assert message in status["failure"]["message"]
    assert "spec.resources.ephemeralStorage" in status["failure"]["remedy"]
    assert {it["reason"] for it in interruptions(stage, name)} == {"Evicted"}
    events = stage.ask("GET", f"/api/v1/namespaces/{stage.namespace}/events")["items"]
    assert len([it for it in events if it["reason"] == "Interrupted"]) == 5
    wait_until(lambda: not alive(stage), "nothing runs")


def alive(stage: Stage) -> list[dict[str, Any]]:
    return [it for it in stage.pods() if it["status"].get("phase") not in ("Failed", "Succeeded")]


def has_recorded(stage: Stage, name: str, number: int) -> bool:
    return len(interruptions(stage, name)) == number


def interruptions(stage: Stage, name: str) -> list[dict[str, Any]]:
    (attempt,) = stage.status(name).get("attempts") or ({},)
    found: list[dict[str, Any]] = attempt.get("interruptions", [])
    return found


def test_a_lost_node_is_named_and_its_pod_is_replaced_once_the_node_is_deleted(
    stage: Stage,
) -> None:
    name = stage.apply("stranded")
    wait_until(lambda: len(stage.pods()) == 1, "its pod is made")
    (pod,) = stage.pods()
    put_on_node(stage, pod)

    wait_until(lambda: reason_of(stage, name) == "NodeNotReady", "it is told")

    told = message_of(stage, name)
    assert f"node {NODE} is NotReady" in told
    assert pod["metadata"]["name"] in told
    assert stage.phase(name) == "Running"
    stage.ask("DELETE", f"/api/v1/nodes/{NODE}")
    # The garbage collector of pods runs every 20 s, and gives a node 40 s to return.
    wait_until(lambda: {it["metadata"]["uid"] for it in stage.pods()} != {uid(pod)}, "gone", 120)
    finish(stage, name)
    (attempt,) = stage.status(name)["attempts"]
    assert attempt["result"] == "Succeeded"


def test_a_terminating_namespace_removes_its_jobs_without_errors(stage: Stage) -> None:
    # The deletion of a namespace waits for half the longest grace period of its pods.
    name = stage.apply("homeless", terminationGracePeriodSeconds=5)
    wait_until(lambda: is_begun(stage, name), "it is begun")

    stage.plane.kubectl("delete", "namespace", stage.namespace, "--timeout=60s")

    # Both continue with the next one.
    stage.namespace = f"{stage.namespace}-2"
    stage.plane.kubectl("create", "namespace", stage.namespace)
    finish(stage, stage.apply("next"))
    for replica in stage.replicas.values():
        assert replica.process.poll() is None
        assert "traceback" not in replica.log.lower()
        assert "not reconciled" not in replica.log


def test_a_deleted_job_gets_its_grace_period_and_force_deletion_skips_it(stage: Stage) -> None:
    name = stage.apply("unwanted")
    wait_until(lambda: len(stage.pods()) == 1, "its pod is made")
    put_on_node(stage, stage.pods()[0])
    of_job = ("--namespace", stage.namespace, "--selector", f"finetune.dev/job={name}")

    stage.plane.kubectl("--namespace", stage.namespace, "delete", "ftj", name, "--timeout=10s")

    wait_until(lambda: "deletionTimestamp" in stage.pods()[0]["metadata"], "it is told to end")
    assert stage.pods()[0]["metadata"]["deletionGracePeriodSeconds"] == 600
    stage.plane.kubectl("delete", "pods", *of_job, "--grace-period=0", "--force")
    wait_until(lambda: not stage.pods() and not stage.training_jobs(), "nothing is left")
    stage.ask("DELETE", f"/api/v1/nodes/{NODE}")


def uid(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["uid"])


def put_on_node(stage: Stage, pod: dict[str, Any]) -> None:
    """The scheduler's and the kubelet's part; after that no heartbeat arrives."""
    stage.ask("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    node = {"status": {"conditions": [ready]}}
    stage.ask("PATCH", f"/api/v1/nodes/{NODE}/status", node)
    path = f"/api/v1/namespaces/{stage.namespace}/pods/{pod['metadata']['name']}"
    target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
    binding = {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
    stage.ask("POST", f"{path}/binding", binding)
    stage.play_running(pod)
