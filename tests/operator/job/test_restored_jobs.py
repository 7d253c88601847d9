# SPDX-License-Identifier: Apache-2.0
"""Jobs that are restored without an owner: no manual help is needed, and nothing is trained
twice.
"""

import copy
from typing import Any

import pytest

from finetune_operator.job.observe.endings import has_ended
from finetune_operator.job.observe.strays import find_strays, is_stray
from finetune_operator.objects.names import (
    CONFIG_MAPS,
    FINETUNE_JOBS,
    PODS,
    TRAINING_JOBS,
)
from support.restored_world import RestoredWorld
from support.simulated_cluster import NAME

tools = pytest.mark.parametrize(
    "skips_ended", [True, False], ids=["a tool that skips what has ended", "one that skips nothing"]
)
nodes_of_jobs = pytest.mark.parametrize("nodes", [1, 2])


def a_running_world(nodes: int = 1) -> RestoredWorld:
    """The pods of the first attempt run."""
    world = RestoredWorld(nodes=nodes)
    advance(world)
    run_what_waits(world)
    assert [pod["status"]["phase"] for pod in world.pods()] == ["Running"] * nodes
    return world


def a_finished_world() -> RestoredWorld:
    world = a_running_world()
    world.settle()
    assert world.status["phase"] == "Succeeded"
    return world


def advance(world: RestoredWorld) -> None:
    """All actors work except the kubelet."""
    for _ in range(8):
        world.hear_everything()
        world.work()
        world.control_jobs()
        world.check()


def run_what_waits(world: RestoredWorld) -> None:
    for pod in world.pods():
        pod["status"]["phase"] = "Running"
        world.etcd.touch(PODS, pod)


def stray_names(world: RestoredWorld) -> list[str]:
    return sorted(
        name
        for (_, name), found in world.etcd.objects.items()
        if is_stray(found) and not has_ended(found)
    )


@tools
def test_a_restored_finished_job_succeeds_with_one_attempt_that_trains_nothing(
    *, skips_ended: bool
) -> None:
    world = a_finished_world()
    backup = world.back_up()
    world.lose_everything()
    world.restore(backup, skips_ended=skips_ended)

    world.settle()

    assert world.status["phase"] == "Succeeded"
    assert [it["result"] for it in world.status["attempts"]] == ["Succeeded"]
    assert stray_names(world) == []


@tools
@nodes_of_jobs
def test_a_restored_running_job_resumes_once_its_old_pods_have_saved_and_ended(
    nodes: int, *, skips_ended: bool
) -> None:
    world = a_running_world(nodes)
    backup = world.back_up()
    world.lose_everything()
    world.restore(backup, skips_ended=skips_ended)
    world.control_jobs()

    world.settle()

    assert world.status["phase"] == "Succeeded"
    assert len(world.training_jobs()) == 1
    assert stray_names(world) == []


def test_a_job_restored_with_its_status_continues_with_its_next_attempt() -> None:
    world = a_running_world()
    backup, status = world.back_up(), copy.deepcopy(world.status)
    world.lose_everything()
    world.restore(backup, skips_ended=True)
    world.job["status"] = status
    world.etcd.touch(FINETUNE_JOBS, world.job)

    world.settle()

    assert world.status["phase"] == "Succeeded"
    assert world.status["attempt"] == 2
    # The first attempt's objects remain, without effect, until the job's TTL.
    assert stray_names(world) == [f"{NAME}-1"]
    assert world.etcd.find(CONFIG_MAPS, f"{NAME}-1") is not None


def test_a_pod_restored_before_its_job_is_ended_before_anything_else_runs() -> None:
    world = a_running_world()
    backup = world.back_up()
    world.lose_everything()
    world.hear_everything()
    world.restore([it for it in backup if it[0] is PODS], skips_ended=True)

    advance(world)

    assert all("deletionTimestamp" in pod["metadata"] for pod in world.pods())

    world.restore([it for it in backup if it[0] is not PODS], skips_ended=True)
    world.settle()

    assert world.status["phase"] == "Succeeded"


def test_no_attempt_starts_while_a_restored_pod_still_saves() -> None:
    world = a_running_world()
    backup = world.back_up()
    world.lose_everything()
    world.restore(backup, skips_ended=True)
    run_what_waits(world)

    advance(world)

    assert [is_stray(it) for it in world.training_jobs()] == [True]
    ready = next(it for it in world.status["conditions"] if it["type"] == "Ready")
    (pod,) = [pod["metadata"]["name"] for pod in world.pods() if is_stray(pod)]
    assert f"waiting for earlier pods to save a checkpoint and exit: {pod}" in ready["message"]


@tools
def test_an_orphaned_attempt_runs_until_its_job_is_applied_again(*, skips_ended: bool) -> None:
    world = a_running_world() if skips_ended else a_finished_world()
    world.orphan()
    advance(world)
    (orphan,) = world.training_jobs()
    assert "deletionTimestamp" not in orphan["metadata"]

    world.apply()
    world.settle()

    assert world.status["phase"] == "Succeeded"
    assert orphan["metadata"]["uid"] not in {it["metadata"]["uid"] for it in world.training_jobs()}
    assert stray_names(world) == []


def test_orphaning_a_job_while_the_operator_is_down_loses_nothing() -> None:
    world = a_running_world()
    world.hear_everything()
    # The Job's event comes before that of the job's deletion.
    (running,) = world.training_jobs()
    running["metadata"]["ownerReferences"] = []
    world.etcd.touch(TRAINING_JOBS, running)
    world.job["metadata"]["deletionTimestamp"] = world.stamp()
    world.etcd.touch(FINETUNE_JOBS, world.job)
    for kind in list(world.heard):
        if kind.resource is TRAINING_JOBS:
            world.hear(kind)

    world.work()

    assert "deletionTimestamp" not in running["metadata"]


def test_a_config_map_of_another_owner_is_not_replaced() -> None:
    world = RestoredWorld()
    theirs = {"metadata": {"namespace": "team", "name": f"{NAME}-1", "labels": {"app": "theirs"}}}
    made = world.etcd.create(CONFIG_MAPS, theirs, world.stamp())

    advance(world)

    assert world.etcd.find(CONFIG_MAPS, f"{NAME}-1")["metadata"]["uid"] == made["metadata"]["uid"]
    assert world.training_jobs() == []
    ready = next(it for it in world.status["conditions"] if it["type"] == "Ready")
    assert "has another owner" in ready["message"]


def an_object(**metadata: Any) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/managed-by": "finetune-operator",
        "finetune.dev/job": NAME,
        "finetune.dev/attempt": "1",
    }
    return {"metadata": {"name": "it", "labels": labels, **metadata}}


OWNER = {"kind": "FineTuneJob", "name": NAME, "uid": "gone"}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        pytest.param({}, True, id="a restored one"),
        pytest.param({"ownerReferences": []}, True, id="an orphaned one"),
        pytest.param(
            {"ownerReferences": [OWNER]}, True, id="one that others keep, without managing"
        ),
        pytest.param(
            {"ownerReferences": [{**OWNER, "controller": True}]}, False, id="an owned one"
        ),
        pytest.param({"labels": None}, False, id="one without labels"),
        pytest.param({"labels": {"finetune.dev/job": NAME}}, False, id="one with the label alone"),
    ],
)
def test_only_unowned_objects_of_the_operator_are_strays(
    metadata: dict[str, Any], *, expected: bool
) -> None:
    assert is_stray(an_object(**metadata)) is expected


def test_a_finished_or_terminating_stray_is_not_ended_again() -> None:
    going = an_object(deletionTimestamp="2026-01-31T12:00:00Z")
    ended = {**an_object(), "status": {"phase": "Failed"}}

    assert not find_strays([going], [going, ended])
    assert find_strays([], [an_object()]).pods == (an_object(),)
