# SPDX-License-Identifier: Apache-2.0
"""Restored objects on a real control plane: its controllers work, and pods are simulated."""

from typing import Any

import pytest

from cluster.backup_tool import BackupTool
from cluster.replicas import Stage, finish, is_begun, message_of, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]


def tool_of(stage: Stage, *names: str) -> BackupTool:
    return BackupTool(stage.plane.kubectl, stage.namespace, *names)


def a_running_job(stage: Stage, name: str = "running", **spec: Any) -> str:
    stage.apply(name, **spec)
    nodes = spec.get("resources", {}).get("nodes", 1)
    wait_until(lambda: is_begun(stage, name) and len(stage.pods()) == nodes, "its pods are made")
    for pod in stage.pods():
        stage.play_running(pod)
    return name


def owners(found: Any) -> list[str]:
    return [it["kind"] for it in found["metadata"].get("ownerReferences", ())]


def has_only_owned(stage: Stage) -> bool:
    """One Job, which the restored FineTuneJob owns, and its pods."""
    jobs, pods = list(stage.training_jobs().values()), stage.pods()
    return (
        [owners(it) for it in jobs] == [["FineTuneJob"]] and bool(pods) and all(map(owners, pods))
    )


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_restored_running_job_has_one_owned_attempt_and_no_extra_pod(
    stage: Stage, nodes: int
) -> None:
    name = a_running_job(stage, resources={"nodes": nodes, "gpusPerNode": 1})
    tool = tool_of(stage, name)
    backup = tool.back_up()
    assert {it["kind"] for it in backup} >= {"ConfigMap", "Pod", "Job", "FineTuneJob"}
    tool.lose_everything()
    tool.restore(backup)

    wait_until(lambda: has_only_owned(stage), "what came back is gone")
    finish(stage, name)

    assert [it["result"] for it in stage.status(name)["attempts"]] == ["Succeeded"]
    assert len(stage.training_jobs()) == 1


def test_a_restored_finished_job_needs_no_manual_step(stage: Stage) -> None:
    name = stage.apply("done")
    finish(stage, name)
    tool = tool_of(stage, name)
    backup = tool.back_up()
    tool.lose_everything()
    tool.restore(backup)

    wait_until(lambda: has_only_owned(stage), "its ConfigMap is its own")
    finish(stage, name)

    assert "has another owner" not in message_of(stage, name)


def test_a_restored_pod_without_its_owners_is_deleted(stage: Stage) -> None:
    name = a_running_job(stage)
    tool = tool_of(stage, name)
    pods = [it for it in tool.back_up() if it["kind"] == "Pod"]
    tool.lose_everything()
    tool.restore(pods)

    wait_until(lambda: stage.pods() == [], "nothing is left that trains")


def test_an_orphaned_attempt_runs_until_its_job_is_applied_again(stage: Stage) -> None:
    name = a_running_job(stage)
    (before,) = stage.training_jobs().values()
    kubectl, place = stage.plane.kubectl, ("--namespace", stage.namespace)
    kubectl(*place, "delete", "finetunejob", name, "--cascade=orphan", "--wait=true")
    # A later job is started: by then the operator has seen the orphaned objects.
    stage.apply("later")
    wait_until(lambda: is_begun(stage, "later"), "another job is begun")
    orphan = stage.training_jobs()[f"{name}-1"]
    assert owners(orphan) == []
    assert "deletionTimestamp" not in orphan["metadata"]

    stage.apply(name)
    wait_until(
        lambda: owners(stage.training_jobs().get(f"{name}-1", {"metadata": {}})) == ["FineTuneJob"],
        "the attempt is its own",
    )
    finish(stage, name)

    assert stage.training_jobs()[f"{name}-1"]["metadata"]["uid"] != before["metadata"]["uid"]
