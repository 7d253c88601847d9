# SPDX-License-Identifier: Apache-2.0
"""Repeated SIGKILL of the leading operator while jobs are created: nothing is lost or duplicated.

API server, Job controller, scheduler and kubelet are real; the trainer ends immediately.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.installation import REPOSITORY
from cluster.instant_trainer import TAG, a_job, build
from cluster.jobs import until
from cluster.operator_process import OperatorProcess
from testbed import requirements
from testbed.cluster import Cluster
from testbed.ports import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.own_cluster, pytest.mark.long]

LEASE = ("-n", "finetune-system", "lease", "finetune-operator")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A separate one: many jobs would overload the others' operator."""
    if reasons := requirements.missing():
        pytest.skip(" ".join(reasons))
    build()
    with Cluster.up() as cluster:
        cluster.load(TAG)
        cluster.install(REPOSITORY / "crds")
        cluster.kubectl("create", "namespace", "finetune-system")
        yield cluster


@pytest.fixture
def replicas(cluster: Cluster, tmp_path: Path) -> Iterator[list[OperatorProcess]]:
    ports = enumerate(free_ports(2))
    made = [OperatorProcess(f"storm-{n}", cluster.kubeconfig, port, tmp_path) for n, port in ports]
    try:
        for replica in made:
            replica.start()
        yield made
    finally:
        for replica in made:
            replica.end()


@pytest.mark.parametrize(
    ("jobs", "kills"),
    [
        pytest.param(10, 5, id="short"),
        pytest.param(200, 200, id="long", marks=pytest.mark.soak),
    ],
)
def test_killed_leaders_neither_lose_nor_duplicate_nor_abandon_a_job(
    cluster: Cluster, replicas: list[OperatorProcess], jobs: int, kills: int
) -> None:
    begin, names = time.monotonic(), [f"storm-{number}" for number in range(jobs)]
    killed = 0
    for number in range(max(jobs, kills)):
        for name in names[number : number + 1]:
            cluster.kubectl("apply", "-f", "-", input=json.dumps(a_job(name)))
        if killed * jobs < kills * (number + 1) and killed < kills:
            kill_leader(cluster, replicas)
            killed += 1

    found = wait_for_ends(cluster, jobs, seconds=120 + jobs)

    assert Counter(job["status"]["phase"] for job in found) == {"Succeeded": jobs}
    assert {len(job["status"]["attempts"]) for job in found} == {1}
    assert creations(cluster, "jobs") == creations(cluster, "pods") == jobs
    assert creations(cluster, "configmaps") == jobs
    assert {job["metadata"]["name"] for job in listed(cluster)} == {f"{name}-1" for name in names}
    writes = sum(map(is_status_write, cluster.audit()))
    took = time.monotonic() - begin
    print(
        f"\n{jobs} jobs, {killed} leaders killed in {took:.0f} s: {writes} status writes, "
        f"each job one batch Job, one pod, one attempt, Succeeded"
    )


def kill_leader(cluster: Cluster, replicas: list[OperatorProcess]) -> None:
    """At a random moment, once it leads; it is restarted."""
    for _ in until(60, every=0.1):
        leader = find_leader(cluster, replicas)
        if leader is not None:
            break
    assert leader is not None
    time.sleep(random.uniform(0, 1))  # noqa: S311 - the moment must be nobody's choice
    leader.kill()
    # Another test covers how long a successor waits.
    cluster.kubectl("delete", "--ignore-not-found", *LEASE)
    leader.start()


def find_leader(cluster: Cluster, replicas: list[OperatorProcess]) -> OperatorProcess | None:
    asked = cluster.kubectl(
        "get", "--ignore-not-found", *LEASE, "-o", "jsonpath={.spec.holderIdentity}"
    )
    holder = asked.rpartition("_")[0]
    return next((replica for replica in replicas if replica.name == holder), None)


def wait_for_ends(cluster: Cluster, jobs: int, *, seconds: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for _ in until(seconds, every=1):
        found = json.loads(cluster.kubectl("get", "ftj", "-o", "json"))["items"]
        if sum("completionTime" in job.get("status", {}) for job in found) == jobs:
            break
    return found


def listed(cluster: Cluster) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "jobs", "-o", "json"))["items"]
    return items


def creations(cluster: Cluster, resource: str) -> int:
    """How many of these were ever created in the jobs' namespace: none may be created and
    deleted.
    """
    return sum(
        event["verb"] == "create"
        and event.get("objectRef", {}).get("resource") == resource
        and event["objectRef"].get("namespace") == "default"
        and "subresource" not in event["objectRef"]
        and event["responseStatus"]["code"] == 201
        and "kube-root-ca" not in event["objectRef"].get("name", "")
        for event in cluster.audit()
        if event["stage"] == "ResponseComplete"
    )


def is_status_write(event: dict[str, Any]) -> bool:
    target = event.get("objectRef", {})
    is_of_job = target.get("resource") == "finetunejobs" and target.get("subresource") == "status"
    return is_of_job and event["verb"] == "patch" and event["responseStatus"]["code"] == 200
