# SPDX-License-Identifier: Apache-2.0
"""Jobs are queued by a real Kueue."""

import json
from collections.abc import Iterator

import pytest

from cluster.installation import DEPLOYMENT, NAMESPACE, Installation
from cluster.jobs import Jobs, Resource, a_short_job, until
from testbed import kueue

pytestmark = pytest.mark.cluster

TEAM = f"{NAMESPACE}-queued"
ROOM = "8Gi"
"""For two nodes of 4Gi each."""
API = "kueue.x-k8s.io/v1beta2"
QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
STEPS = 30

_CLUSTER_QUEUE: Resource = {
    "namespaceSelector": {},
    "preemption": {"withinClusterQueue": "LowerPriority"},
    "resourceGroups": [
        {
            "coveredResources": ["memory"],
            "flavors": [
                {"name": "any-node", "resources": [{"name": "memory", "nominalQuota": ROOM}]}
            ],
        }
    ],
}
QUEUES: tuple[Resource, ...] = (
    {"kind": "ResourceFlavor", "metadata": {"name": "any-node"}},
    {"kind": "ClusterQueue", "metadata": {"name": "everybody"}, "spec": _CLUSTER_QUEUE},
    {"kind": "WorkloadPriorityClass", "metadata": {"name": "urgent"}, "value": 1000},
    *(
        {
            "kind": "LocalQueue",
            "metadata": {"namespace": TEAM, "name": name},
            "spec": {"clusterQueue": "everybody"},
        }
        for name in ("default", "research")
    ),
)


@pytest.fixture(scope="module")
def team(installation: Installation) -> Iterator[Jobs]:
    """The jobs of a namespace with two LocalQueues of one ClusterQueue."""
    if installation.cluster is None:
        pytest.skip("The Kueue of a given cluster is its owner's.")
    installation.make_namespace(TEAM)
    with kueue.installed(installation.cluster):
        # After a request without Kueue, an operator waits minutes before the next.
        installation.kubectl("rollout", "restart", *DEPLOYMENT)
        installation.kubectl("rollout", "status", *DEPLOYMENT, "--timeout=60s")
        make_queues(installation)
        yield Jobs(kubectl=installation.kubectl, namespace=TEAM)
        installation.kubectl("delete", "namespace", TEAM)
        installation.kubectl("delete", "clusterqueues,resourceflavors", "--all")


def make_queues(installation: Installation) -> None:
    """Kueue's webhook serves a moment after its pod is ready."""
    documents = "\n---\n".join(json.dumps({"apiVersion": API, **queue}) for queue in QUEUES)
    for _ in until(60):
        try:
            installation.kubectl("apply", "--server-side", "-f", "-", input=documents)
        except RuntimeError as refusal:
            said = str(refusal)
        else:
            return
    raise AssertionError(said)


def a_queued_job(
    name: str, *, steps: int, nodes: int = 1, memory: str = "4Gi", **labels: str
) -> Resource:
    job = a_short_job(name, steps=steps)
    job["metadata"]["labels"] = labels
    job["spec"]["resources"] |= {"nodes": nodes, "memory": memory}
    return job


def is_queued(status: Resource) -> bool:
    return status.get("phase") == "Queued"


def test_two_nodes_wait_while_one_has_room_and_start_together(team: Jobs) -> None:
    # It is deleted below, and must not end before.
    first = team.apply(a_queued_job("first", steps=400, **{QUEUE: "research"}))
    team.wait_for_step(first, 1)
    second = team.apply(a_queued_job("second", steps=4, nodes=2, **{QUEUE: "research"}))

    waiting = team.wait_until(
        second,
        lambda status: is_queued(status) and "insufficient" in str(status["conditions"]),
        seconds=60,
        what="Kueue's reason for waiting",
    )
    assert waiting["queue"] == "research"
    assert "memory" in team.condition(second, "Reconciling")["message"]
    assert team.pods(second) == []
    assert "research" in team.run("get", "ftj", second, "-o", "wide")

    team.run("delete", "ftj", first, "--wait=false")
    ended = team.wait_for_end(second)
    assert ended["phase"] == "Succeeded", ended
    assert ended["worldSize"] == {"wanted": 2, "seen": 2}
    assert len(ended["attempts"]) == 1
    told = team.run("get", "events", "--field-selector", f"involvedObject.name={second}")
    assert "Queued" in told
    assert "Admitted" in told


@pytest.mark.parametrize("nodes", [1, 2], ids=["one node", "two nodes"])
@pytest.mark.long
def test_a_preempted_job_resumes_from_its_checkpoint(team: Jobs, nodes: int) -> None:
    low = team.apply(
        a_queued_job(f"low-{nodes}", steps=STEPS, nodes=nodes, memory=f"{8 // nodes}Gi")
    )
    team.wait_for_step(low, 3)
    urgent = team.apply(a_queued_job(f"urgent-{nodes}", steps=3, **{PRIORITY: "urgent"}))

    preempted = team.wait_until(
        low,
        lambda status: is_queued(status) and "preempt" in str(status["conditions"]),
        seconds=120,
        what="the words of Kueue",
    )
    assert preempted["queue"] == "default"
    assert team.condition(low, "Reconciling")["reason"] == "Preempted"
    assert team.wait_for_end(urgent)["phase"] == "Succeeded"

    ended = team.wait_for_end(low)
    assert ended["phase"] == "Succeeded", ended
    assert ended["progress"]["step"] == STEPS
    attempts = ended["attempts"]
    assert attempts[-1]["resumedFromStep"] >= 3
    lost = [attempt["stepsLost"] for attempt in attempts]
    # A single node's Job continues. A gang's ends with the first of its pods, and another is
    # created, unless the Job controller has seen the suspension before.
    assert lost == [0] or (lost == [0, 0] and nodes == 2)


def test_a_queued_job_can_be_suspended_and_resumed(team: Jobs) -> None:
    job = a_queued_job("too-large", steps=1)
    job["spec"]["resources"]["memory"] = "20Gi"
    name = team.apply(job)
    team.wait_until(name, is_queued, seconds=60, what="a queue")

    for suspend, phase in ((True, "Suspended"), (False, "Queued")):
        team.run(
            "patch", "ftj", name, "--type=merge", "-p", json.dumps({"spec": {"suspend": suspend}})
        )
        team.wait_until(
            name, lambda status, phase=phase: status["phase"] == phase, seconds=60, what=phase
        )
    assert team.pods(name) == []

    team.run("delete", "ftj", name)
    for _ in until(60):
        workloads = team.run("get", "workloads", "-o", "name")
        if name not in workloads:
            return
    raise AssertionError(workloads)
