# SPDX-License-Identifier: Apache-2.0
"""Two nodes train as one: one world, shared gradients, one end."""

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job

# Two nodes that wait for room, begin together and end well are seen in test_kueue.py.
pytestmark = [pytest.mark.cluster, pytest.mark.long]


def a_job_on(nodes: int, name: str, *, batch: int, steps: int = 4, **config: object) -> Resource:
    job = a_short_job(name, steps=steps, per_device_train_batch_size=batch, **config)
    job["spec"]["resources"] |= {"nodes": nodes, "memory": "4Gi"}
    return job


@pytest.fixture(scope="module")
def ends(jobs: Jobs) -> dict[str, Resource]:
    """The last statuses of a job with one node and of one with two, which run at the same time."""
    one = jobs.apply(a_job_on(1, "one-node", batch=2))
    two = jobs.apply(a_job_on(2, "two-nodes", batch=1))
    return {name: jobs.wait_for_end(name) for name in (one, two)}


def test_two_nodes_train_like_one_process_with_twice_the_batch(ends: dict[str, Resource]) -> None:
    alone, together = ends["one-node"], ends["two-nodes"]

    assert alone["phase"] == together["phase"] == "Succeeded", together
    assert alone["worldSize"] == {"wanted": 1, "seen": 1}
    assert together["worldSize"] == {"wanted": 2, "seen": 2}
    assert together["progress"]["step"] == alone["progress"]["step"] == 4
    assert together["progress"]["loss"] == pytest.approx(alone["progress"]["loss"], rel=0.02)
    assert len(together["attempts"]) == 1


def test_a_ttl_set_after_the_end_removes_all_objects_of_the_attempt(
    jobs: Jobs, ends: dict[str, Resource]
) -> None:
    two_nodes = "two-nodes"
    assert ends[two_nodes]["phase"] == "Succeeded"
    patch = '{"spec": {"ttlSecondsAfterFinished": 0}}'
    jobs.run("patch", "ftj", two_nodes, "--type=merge", "-p", patch)

    jobs.wait_until(two_nodes, lambda it: "cleanupTime" in it, seconds=60, what="a clean up")

    kinds = "jobs.batch,services,configmaps,networkpolicies"
    selector = f"--selector=finetune.dev/job={two_nodes}"
    assert jobs.run("get", kinds, selector, "--output=name") == ""
    assert jobs.status(two_nodes)["phase"] == "Succeeded"


def test_when_one_of_two_nodes_is_killed_both_restart_from_the_checkpoint(
    installation: Installation, jobs: Jobs
) -> None:
    if installation.cluster is None:
        pytest.skip("A container can be killed from outside only in the tests' own cluster.")
    saving = {"save_strategy": "steps", "save_steps": 2}
    # Enough that the last step is not taken before the first checkpoint is reported.
    name = jobs.apply(a_job_on(2, "gang", batch=1, steps=30, **saving))
    jobs.wait_until(
        name,
        lambda status: status.get("progress", {}).get("checkpointStep", 0) > 0,
        seconds=300,
        what="a checkpoint",
    )
    (second_node,) = [pod for pod in jobs.pods(name) if index_of(pod) == "1"]

    installation.cluster.kill_container(jobs.container_of(second_node))
    status = jobs.wait_for_end(name)

    first, second = status["attempts"]
    assert (first["result"], first["exitCode"]) == ("Failed", 137)
    assert (second["result"], status["phase"]) == ("Succeeded", "Succeeded")
    assert second["resumedFromStep"] > 0
    assert status["progress"]["step"] == 30
    assert status["worldSize"] == {"wanted": 2, "seen": 2}


def index_of(pod: Resource) -> str:
    return str(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])
