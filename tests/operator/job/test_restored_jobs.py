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
def test_a_finished_job_ends_succeeded_by_one_attempt_that_finds_its_run_complete(
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
def test_a_running_job_goes_on_once_after_what_ran_has_saved_and_ended(
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


def test_a_job_whose_status_came_back_as_well_goes_on_with_its_next_attempt() -> None:
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


def test_a_pod_that_comes_back_before_its_job_is_ended_before_anything_else_runs() -> None:
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


def test_no_attempt_begins_while_a_restored_pod_still_saves() -> None:
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
def test_a_job_that_was_deleted_with_cascade_orphan_is_let_run_until_it_is_applied_again(
    *, skips_ended: bool
) -> None:
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


def test_who_orphans_a_job_while_the_operator_is_behind_loses_nothing() -> None:
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


def test_a_config_map_of_somebody_else_is_not_replaced() -> None:
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
def test_only_what_the_operator_made_and_nothing_manages_is_a_stray(
    metadata: dict[str, Any], *, expected: bool
) -> None:
    assert is_stray(an_object(**metadata)) is expected


def test_what_has_ended_or_goes_already_is_not_ended_again() -> None:
    going = an_object(deletionTimestamp="2026-01-31T12:00:00Z")
    ended = {**an_object(), "status": {"phase": "Failed"}}

    assert not find_strays([going], [going, ended])
    assert find_strays([], [an_object()]).pods == (an_object(),)
