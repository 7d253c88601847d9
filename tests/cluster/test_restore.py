# SPDX-License-Identifier: Apache-2.0
"""A backup of jobs is restored on a real cluster, without manual help."""

from dataclasses import dataclass

import pytest

from cluster.backup_tool import BackupTool
from cluster.installation import Installation
from cluster.jobs import Jobs, Resource, a_short_job, until

# test_restored_objects.py also covers restored objects, faster.
pytestmark = [pytest.mark.cluster, pytest.mark.long]

STEPS = 40
RUNNING, DONE, ORPHANED = "restored-running", "restored-done", "orphaned-running"


@dataclass(frozen=True)
class Restored:
    """The ends of two jobs that were restored from a backup, and of a third that was orphaned."""

    running: Resource
    done: Resource
    orphaned: Resource
    published: list[str]
    """Files of the finished job, before."""
    beside: list[list[str]]
    """Names of pods that ran at the same time as a pod of an owned Job."""


def a_saving_job(name: str, steps: int) -> Resource:
    job = a_short_job(name, steps=steps, save_strategy="steps", save_steps=5)
    job["spec"]["resources"]["memory"] = "4Gi"
    return job


@pytest.fixture(scope="module")
def restored(installation: Installation, jobs: Jobs) -> Restored:
    """One after the other would take three times as long."""
    orphaned = a_saving_job(ORPHANED, STEPS)
    jobs.apply(a_saving_job(DONE, 2))
    jobs.apply(a_saving_job(RUNNING, STEPS))
    jobs.wait_for_end(DONE)
    published = installation.models.list(DONE)
    jobs.apply(orphaned)
    jobs.wait_for_step(RUNNING, 6)
    jobs.wait_for_step(ORPHANED, 2)
    tool = BackupTool(installation.kubectl, jobs.namespace, RUNNING, DONE)
    backup = tool.back_up()
    jobs.run("delete", "ftj", ORPHANED, "--cascade=orphan", "--wait=true")
    tool.lose_everything()
    assert jobs.running_pod(ORPHANED) is not None
    tool.restore(backup)
    jobs.apply(orphaned)
    beside = watch(jobs, RUNNING, ORPHANED)
    return Restored(
        running=jobs.wait_for_end(RUNNING),
        done=jobs.wait_for_end(DONE),
        orphaned=jobs.wait_for_end(ORPHANED),
        published=published,
        beside=beside,
    )


def watch(jobs: Jobs, *names: str) -> list[list[str]]:
    """The pods that ran next to an attempt, until all have ended."""
    seen = []
    for _ in until(420):
        for name in names:
            owned = {
                it["metadata"]["uid"]
                for it in jobs.training_jobs(name)
                if it["metadata"].get("ownerReferences")
            }
            running = [it for it in jobs.pods(name) if it["status"].get("phase") == "Running"]
            ours = [
                it
                for it in running
                if any(owner["uid"] in owned for owner in it["metadata"].get("ownerReferences", ()))
            ]
            if ours and len(running) > 1:
                seen.append([it["metadata"]["name"] for it in running])
        if all(jobs.status(name).get("phase") in ("Succeeded", "Failed") for name in names):
            break
    return seen


def test_a_restored_running_job_resumes_once_from_its_checkpoint(restored: Restored) -> None:
    assert restored.running["phase"] == "Succeeded", restored.running
    assert [it["result"] for it in restored.running["attempts"]] == ["Succeeded"]
    assert restored.running["attempts"][0]["resumedFromStep"] >= 5
    assert restored.running["progress"]["step"] == STEPS


def test_no_attempt_trains_next_to_a_restored_pod(restored: Restored) -> None:
    assert restored.beside == []


def test_a_restored_finished_job_succeeds_without_training(
    restored: Restored, installation: Installation, jobs: Jobs
) -> None:
    assert restored.done["phase"] == "Succeeded", restored.done
    assert [it["reason"] for it in restored.done["notes"]] == ["NothingTrained"]
    assert "NothingTrained" in jobs.run("get", "ftj", DONE).split()
    assert installation.models.list(DONE) == restored.published


def test_an_orphaned_job_that_is_applied_again_resumes_once(restored: Restored) -> None:
    assert restored.orphaned["phase"] == "Succeeded", restored.orphaned
    assert len(restored.orphaned["attempts"]) == 1
    assert restored.orphaned["attempts"][0]["resumedFromStep"] >= 2
    assert restored.orphaned["progress"]["step"] == STEPS


def test_no_restored_job_or_pod_stays_without_an_owner(restored: Restored, jobs: Jobs) -> None:
    for name in (RUNNING, DONE, ORPHANED):
        left = [*jobs.training_jobs(name), *jobs.pods(name)]
        assert all(it["metadata"].get("ownerReferences") for it in left)
