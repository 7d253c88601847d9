# SPDX-License-Identifier: Apache-2.0
"""What an interruption costs: nothing that was saved."""

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job, until

pytestmark = pytest.mark.cluster


STEPS = 40


@pytest.fixture(scope="module")
def uninterrupted(jobs: Jobs) -> Resource:
    """The status of a job that nothing happened to."""
    return jobs.wait_for_end(jobs.apply(a_short_job("uninterrupted", steps=STEPS)))


def assert_same_end(status: Resource, reference: Resource) -> None:
    assert status["phase"] == "Succeeded", status
    assert status["progress"]["step"] == reference["progress"]["step"]
    assert status["progress"]["totalSteps"] == reference["progress"]["totalSteps"]
    assert status["progress"]["loss"] == pytest.approx(reference["progress"]["loss"], rel=0.02)


def test_a_killed_pod_is_followed_by_an_attempt_from_the_newest_checkpoint(
    installation: Installation, jobs: Jobs, uninterrupted: Resource
) -> None:
    if installation.cluster is None:
        pytest.skip("A container can be killed from outside only in the tests' own cluster.")
    name = jobs.apply(a_short_job("killed", steps=STEPS, save_strategy="steps", save_steps=5))
    jobs.wait_until(
        name,
        lambda status: status.get("progress", {}).get("checkpointStep", 0) > 0,
        seconds=300,
        what="a checkpoint",
    )
    pod = jobs.running_pod(name)
    assert pod is not None

    installation.cluster.kill_container(jobs.container_of(pod))
    status = jobs.wait_for_end(name)

    first, second = status["attempts"]
    assert first["result"] == "Failed"
    assert first["exitCode"] == 137
    assert second["resumedFromStep"] > 0
    assert first["stepsLost"] >= 0
    assert_same_end(status, uninterrupted)


def test_a_deleted_pod_saves_first_and_loses_no_step(jobs: Jobs, uninterrupted: Resource) -> None:
    name = jobs.apply(a_short_job("evicted", steps=STEPS))
    jobs.wait_for_step(name, 3)
    pod = jobs.running_pod(name)
    assert pod is not None

    jobs.run("delete", "pod", pod["metadata"]["name"], "--wait=false")
    status = jobs.wait_for_end(name)

    (attempt,) = status["attempts"]
    assert attempt["resumedFromStep"] >= 3
    assert attempt["stepsLost"] == 0
    assert_same_end(status, uninterrupted)


@pytest.mark.long
def test_a_deleted_job_saves_first_and_made_again_goes_on(
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
