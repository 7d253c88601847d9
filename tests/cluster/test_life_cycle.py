# SPDX-License-Identifier: Apache-2.0
"""Actions of users and administrators on a job, on a real cluster, and its status after them."""

from collections.abc import Callable
from typing import Any

import pytest

from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job, message_of

pytestmark = pytest.mark.cluster

MANY = 400
"""More steps than a test waits for."""
SAVING = {"save_strategy": "steps", "save_steps": 5}


def apply(jobs: Jobs, job: Resource, **spec: Any) -> str:
    job["spec"] |= spec
    return jobs.apply(job)


def wait_for_no_children(jobs: Jobs, name: str) -> None:
    of_job = ("--selector", f"finetune.dev/job={name}")
    jobs.run("wait", "--for=delete", "jobs,pods", *of_job, "--timeout=60s")


@pytest.fixture(scope="module")
def eventful(jobs: Jobs) -> Resource:
    """The status of one job for all of these events, because each attempt takes long to start."""
    job = a_short_job("eventful", steps=MANY, **SAVING)
    name = jobs.apply(job)
    jobs.wait_for_step(name, 3)

    apply(jobs, job, suspend=True)
    jobs.run("wait", "--for=condition=Suspended", f"ftj/{name}", "--timeout=120s")
    wait_for_no_children(jobs, name)
    suspended = jobs.status(name)
    apply(jobs, job, suspend=False)
    jobs.wait_until(name, is_training(2), seconds=240, what="a second attempt")
    resumed = jobs.status(name)

    jobs.run("delete", "job", f"{name}-2", "--wait=false")
    jobs.wait_until(name, is_training(3), seconds=240, what="a third attempt")

    job["spec"]["config"]["max_steps"] = 2
    with pytest.raises(RuntimeError, match=r"set spec\.onChange to Rerun"):
        jobs.apply(job)
    apply(jobs, job, onChange="Rerun", ttlSecondsAfterFinished=1)
    done = jobs.wait_for_end(name)
    cleaned = jobs.wait_until(name, lambda s: "cleanupTime" in s, seconds=60, what="cleaning up")
    wait_for_no_children(jobs, name)

    jobs.apply(job)
    same = jobs.status(name)
    apply(jobs, job, runToken="once more")
    again = jobs.wait_until(name, lambda s: s.get("attempt") == 5, seconds=60, what="another run")
    jobs.run("delete", "ftj", name, "--wait=false")
    return {
        "suspended": suspended,
        "resumed": resumed,
        "done": done,
        "cleaned": cleaned,
        "same": same,
        "again": again,
    }


def is_training(attempt: int) -> Callable[[Resource], bool]:
    def holds(status: Resource) -> bool:
        progress = status.get("progress", {})
        return bool(progress.get("attempt") == attempt and progress.get("phase") == "Training")

    return holds


def test_a_suspended_job_saves_a_checkpoint_and_holds_no_resources(eventful: Resource) -> None:
    status = eventful["suspended"]
    (attempt,) = status["attempts"]

    assert status["phase"] == "Suspended"
    assert (attempt["result"], attempt["reason"]) == ("Interrupted", "Suspended")
    assert attempt["stepsLost"] == 0


def test_a_resumed_job_continues_from_its_checkpoint(eventful: Resource) -> None:
    first, second = eventful["resumed"]["attempts"]

    assert second["resumedFromStep"] == first["lastStep"] > 0
    assert "Suspended" not in [found["type"] for found in eventful["resumed"]["conditions"]]


def test_a_manually_deleted_training_job_is_replaced_by_another_attempt(eventful: Resource) -> None:
    _, second, third, *_ = eventful["done"]["attempts"]

    assert (second["result"], second["reason"]) == ("Interrupted", "TrainingJobDeleted")
    assert third["resumedFromStep"] > 0


def test_a_changed_config_starts_another_run_where_the_job_allows_it(eventful: Resource) -> None:
    *_, stopped, last = eventful["done"]["attempts"]

    assert eventful["done"]["phase"] == "Succeeded"
    assert eventful["done"]["runId"] != eventful["suspended"]["runId"]
    assert (stopped["reason"], last["result"]) == ("SpecChanged", "Succeeded")
    assert last["resumedFromStep"] == 0
    assert eventful["done"]["progress"]["totalSteps"] == 2


def test_results_of_an_earlier_run_are_kept(installation: Installation, eventful: Resource) -> None:
    done, again = eventful["done"], eventful["again"]
    manifest = installation.models.read_json(f"eventful/{done['runId']}/manifest.json")

    assert done["artifact"]["uri"].startswith(f"s3://models/eventful/{done['runId']}")
    assert "adapter/adapter_model.safetensors" in {file["path"] for file in manifest["files"]}
    assert "artifact" not in again


def test_a_finished_job_without_its_children_runs_again_only_for_a_new_token(
    eventful: Resource,
) -> None:
    assert eventful["same"]["attempts"] == eventful["cleaned"]["attempts"]
    assert eventful["again"]["runId"] != eventful["done"]["runId"]
    assert eventful["again"]["phase"] == "Starting"


def test_unschedulable_pods_fail_the_job_with_the_schedulers_message(jobs: Jobs) -> None:
    job = a_short_job("unschedulable", steps=2)
    job["spec"]["resources"] = {"gpusPerNode": 64}

    name = apply(jobs, job, startDeadlineSeconds=5)
    status = jobs.wait_for_end(name, seconds=90)

    assert (status["phase"], status["failure"]["reason"]) == ("Failed", "PodsNotStarted")
    assert "Insufficient nvidia.com/gpu" in status["failure"]["message"]
    assert "startDeadlineSeconds" in status["failure"]["remedy"]
    wait_for_no_children(jobs, name)


def test_an_image_that_cannot_be_pulled_is_reported_with_the_kubelets_message(jobs: Jobs) -> None:
    job = a_short_job("imageless", steps=2)

    name = apply(jobs, job, image="trainer.invalid/none:1", startDeadlineSeconds=20)
    jobs.wait_until(
        name, lambda s: "image" in message_of(s).lower(), seconds=60, what="word of the image"
    )
    status = jobs.wait_for_end(name, seconds=90)

    assert status["failure"]["reason"] == "PodsNotStarted"
    assert "trainer.invalid/none:1" in status["failure"]["message"]


@pytest.mark.long
def test_a_job_that_exceeds_its_deadline_saves_and_fails(jobs: Jobs) -> None:
    job = a_short_job("late", steps=MANY, **SAVING)

    name = jobs.apply(job)
    jobs.wait_for_step(name, 1)
    apply(jobs, job, activeDeadlineSeconds=1)
    status = jobs.wait_for_end(name, seconds=120)

    (attempt,) = status["attempts"]
    assert status["failure"]["reason"] == attempt["reason"] == "DeadlineExceeded"
    assert "1s" in status["failure"]["message"]
    assert attempt["lastStep"] >= 1
    assert attempt["stepsLost"] == 0


@pytest.mark.long
def test_an_exhausted_quota_is_reported_with_the_api_servers_message(jobs: Jobs) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-jobs"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    jobs.apply(quota)
    try:
        jobs.run("wait", "--for=jsonpath={.status.hard}", "resourcequota/no-jobs", "--timeout=30s")
        name = jobs.apply(a_short_job("poor", steps=2))
        status = jobs.wait_until(
            name,
            lambda found: "exceeded quota" in message_of(found),
            seconds=60,
            what="word of the quota",
        )
        assert status["phase"] == "Pending"
        assert jobs.condition(name, "Ready")["reason"] == "CreateRefused"
    finally:
        jobs.run("delete", "resourcequota", "no-jobs")
    jobs.wait_until(name, lambda s: s.get("attempt") == 1, seconds=60, what="an attempt")
    jobs.run("delete", "ftj", name, "--wait=false")


@pytest.mark.long
def test_a_deleted_run_document_is_created_again(jobs: Jobs) -> None:
    nodes = jobs.run("get", "nodes", "-o", "name").split()
    jobs.run("cordon", *nodes)
    try:
        name = jobs.apply(a_short_job("robbed", steps=2))
        jobs.wait_until(name, lambda s: s.get("attempt") == 1, seconds=60, what="an attempt")
        with pytest.raises(RuntimeError, match="immutable"):
            jobs.run("patch", "configmap", f"{name}-1", "-p", '{"data": {"run.json": "{}"}}')
        jobs.run("delete", "configmap", f"{name}-1")
    finally:
        jobs.run("uncordon", *nodes)

    jobs.wait_until(
        name, lambda s: s.get("progress", {}).get("phase"), seconds=180, what="word of the trainer"
    )
    assert len(jobs.status(name)["attempts"]) == 1
    jobs.run("delete", "ftj", name, "--wait=false")
