# SPDX-License-Identifier: Apache-2.0
"""The cost of an interruption: nothing that was saved is lost."""

from collections.abc import Callable
from functools import partial

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job, step_of, until
from testbed.cluster import Cluster

pytestmark = pytest.mark.cluster


STEPS = 50


@pytest.fixture(scope="module")
def ends(installation: Installation, jobs: Jobs) -> dict[str, Resource]:
    """The last statuses of three jobs with the same steps: the first is undisturbed, the second's
    pod is deleted, the third's container is killed. They run at the same time, and wait together.
    """
    jobs.apply(a_small_job("uninterrupted"))
    jobs.apply(a_small_job("evicted"))
    due: dict[str, Callable[[Jobs, str], bool]] = {"evicted": evict}
    if (cluster := installation.cluster) is not None:
        jobs.apply(a_small_job("killed", save_strategy="steps", save_steps=5))
        due["killed"] = partial(kill_after_a_checkpoint, cluster)
    names = ["uninterrupted", *due]
    # Each as soon as it can be, because none may end before.
    for _ in until(300):
        due = {name: interrupt for name, interrupt in due.items() if not interrupt(jobs, name)}
        if not due:
            break
    assert not due
    return {name: jobs.wait_for_end(name) for name in names}


def evict(jobs: Jobs, name: str) -> bool:
    """Whether it had trained for some steps, so that its pod was deleted."""
    if step_of(jobs.status(name)) < 3:
        return False
    jobs.run("delete", "pod", pod_of(jobs, name)["metadata"]["name"], "--wait=false")
    return True


def kill_after_a_checkpoint(cluster: Cluster, jobs: Jobs, name: str) -> bool:
    """Whether it had a checkpoint, so that its container was killed."""
    if jobs.status(name).get("progress", {}).get("checkpointStep", 0) == 0:
        return False
    cluster.kill_container(jobs.container_of(pod_of(jobs, name)))
    return True


def a_small_job(name: str, **config: str | int) -> Resource:
    """Three of them fit on the node together, with one thread each."""
    job = a_short_job(name, steps=STEPS, **config)
    job["spec"]["resources"] |= {"memory": "4Gi", "limits": {"cpu": 1}}
    return job


def pod_of(jobs: Jobs, name: str) -> Resource:
    pod = jobs.running_pod(name)
    assert pod is not None, f"{name} has no running pod"
    return pod


def assert_same_end(status: Resource, reference: Resource) -> None:
    assert status["phase"] == "Succeeded", status
    assert status["progress"]["step"] == reference["progress"]["step"]
    assert status["progress"]["totalSteps"] == reference["progress"]["totalSteps"]
    assert status["progress"]["loss"] == pytest.approx(reference["progress"]["loss"], rel=0.02)


def test_a_killed_pod_is_replaced_by_an_attempt_from_the_newest_checkpoint(
    ends: dict[str, Resource],
) -> None:
    if "killed" not in ends:
        pytest.skip("A container can be killed from outside only in the tests' own cluster.")
    status = ends["killed"]

    first, second = status["attempts"]
    assert first["result"] == "Failed"
    assert first["exitCode"] == 137
    assert second["resumedFromStep"] > 0
    assert first["stepsLost"] >= 0
    assert_same_end(status, ends["uninterrupted"])


def test_a_deleted_pod_saves_a_checkpoint_first_and_loses_no_step(
    ends: dict[str, Resource],
) -> None:
    status = ends["evicted"]

    (attempt,) = status["attempts"]
    assert attempt["resumedFromStep"] >= 3
    assert attempt["stepsLost"] == 0
    assert_same_end(status, ends["uninterrupted"])


@pytest.mark.long
def test_a_deleted_job_saves_first_and_resumes_when_created_again(
    installation: Installation, jobs: Jobs
) -> None:
    job = a_short_job("deleted", steps=STEPS)
    name = jobs.apply(job)
    status = jobs.wait_for_step(name, 1)
    checkpoints = f"{name}/{status['runId']}/checkpoints"
    assert installation.models.list(checkpoints) == []

    jobs.run("delete", "ftj", name, "--wait=false")

    for _ in until(120):
        if not jobs.pods(name) and not jobs.training_jobs(name):
            break
    assert jobs.pods(name) == []
    saved = installation.models.list(checkpoints)
    assert [path for path in saved if path.endswith("manifest.json")]

    jobs.apply(job)
    again = jobs.wait_for_end(name)

    (attempt,) = again["attempts"]
    assert again["runId"] == status["runId"]
    assert attempt["resumedFromStep"] > 0
    assert again["progress"]["step"] == STEPS


@pytest.mark.long
def test_a_pod_deleted_right_after_its_start_does_not_train_to_the_end(jobs: Jobs) -> None:
    name = jobs.apply(a_short_job("stopped-at-once", steps=STEPS))
    for _ in until(240, every=0.1):
        if jobs.running_pod(name) is not None:
            break
    pod = pod_of(jobs, name)

    jobs.run("delete", "pod", pod["metadata"]["name"], "--wait=false")

    for _ in until(240):
        if pod["metadata"]["uid"] not in {it["metadata"]["uid"] for it in jobs.pods(name)}:
            break
    assert step_of(jobs.status(name)) < STEPS
    (attempt,) = jobs.wait_for_end(name)["attempts"]
    assert attempt["result"] == "Succeeded"
