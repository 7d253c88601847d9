# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_operator.kube.cache import MOST_GONE, Kind, Memory
from finetune_operator.objects.names import JobKey
from support.factories import a_job_body, a_pod, a_training_job, an_ended_pod

KEY = JobKey(namespace="team", label="balloon")


def version(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceVersion": str(number), **more}


def test_job_and_children_have_one_key() -> None:
    memory = Memory()

    assert memory.remember(Kind.JOB, a_job_body()) == KEY
    assert memory.remember(Kind.TRAINING_JOB, a_training_job()) == KEY
    assert memory.remember(Kind.POD, a_pod()) == KEY
    assert memory.known_keys() == (KEY,)
    assert [len(memory.children_of(KEY).training_jobs), len(memory.children_of(KEY).pods)] == [1, 1]


def test_long_names_find_their_children_too() -> None:
    memory = Memory()
    key = memory.remember(Kind.JOB, a_job_body(name="a" * 200))

    pod = a_pod()
    pod["metadata"]["labels"]["finetune.dev/job"] = key.label

    assert memory.remember(Kind.POD, pod) == key


def test_older_version_does_not_replace_a_newer_one() -> None:
    """An answer to a write and the event of it may come in any order."""
    memory = Memory()
    memory.remember(Kind.JOB, a_job_body(metadata=version(10), status={"phase": "new"}))
    memory.remember(Kind.JOB, a_job_body(metadata=version(9), status={"phase": "old"}))

    job = memory.find_job(KEY)

    assert job is not None
    assert job["status"]["phase"] == "new"


def test_job_that_was_deleted_and_made_again_is_the_new_one() -> None:
    memory = Memory()
    old = a_job_body(uid="old", metadata=version(5))
    memory.remember(Kind.JOB, old)
    memory.remember(Kind.JOB, a_job_body(uid="new", metadata=version(8)))

    job = memory.find_job(KEY)
    assert job is not None
    assert job["metadata"]["uid"] == "new"

    memory.forget(Kind.JOB, old)
    assert memory.find_job(KEY) == job


def test_managed_fields_are_not_kept() -> None:
    memory = Memory()
    memory.remember(Kind.JOB, a_job_body(metadata={"managedFields": [{"manager": "kubectl"}]}))

    assert "managedFields" not in (memory.find_job(KEY) or {})["metadata"]


def test_last_words_of_a_pod_are_kept_as_long_as_its_job() -> None:
    memory = Memory()
    memory.remember(Kind.TRAINING_JOB, a_training_job())
    memory.remember(Kind.POD, a_pod())

    memory.forget(Kind.POD, an_ended_pod(143, message="last words"))

    (pod,) = memory.children_of(KEY).pods
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["message"] == "last words"
    assert memory.present(Kind.POD) == ()

    memory.forget(Kind.TRAINING_JOB, a_training_job())
    assert memory.children_of(KEY).pods == ()


def test_pod_that_vanished_while_it_ran_is_forgotten() -> None:
    memory = Memory()
    memory.remember(Kind.TRAINING_JOB, a_training_job())
    memory.remember(Kind.POD, a_pod())

    memory.forget(Kind.POD, a_pod())

    assert memory.children_of(KEY).pods == ()


def test_pod_that_still_saves_is_kept_when_its_job_is_deleted() -> None:
    memory = Memory()
    memory.remember(Kind.TRAINING_JOB, a_training_job())
    memory.remember(Kind.POD, a_pod())

    memory.forget(Kind.TRAINING_JOB, a_training_job())

    assert len(memory.children_of(KEY).pods) == 1


def test_nothing_remains_of_what_is_gone() -> None:
    memory = Memory()
    for kind, body in (
        (Kind.JOB, a_job_body()),
        (Kind.TRAINING_JOB, a_training_job()),
        (Kind.POD, a_pod()),
    ):
        memory.remember(kind, body)
        memory.forget(kind, body)

    assert memory.known_keys() == ()
    assert all(not bodies for bodies in memory._bodies.values())


def test_an_older_list_does_not_bring_back_what_was_deleted() -> None:
    """A list, or an answer to a get, may be on its way while the watch tells of the deletion."""
    for kind, body in (
        (Kind.JOB, a_job_body(metadata=version(5))),
        (Kind.TRAINING_JOB, with_version(a_training_job(), 5)),
        (Kind.POD, with_version(a_pod(), 5)),
    ):
        memory = Memory()
        memory.remember(kind, body)
        memory.forget(kind, with_version(body, 9))

        memory.remember(kind, body)
        memory.remember(kind, with_version(body, 9))

        assert memory.present(kind) == ()


def test_an_older_list_does_not_bring_back_what_was_never_seen_alive() -> None:
    memory = Memory()
    memory.forget(Kind.JOB, a_job_body(metadata=version(9)))
    memory.remember(Kind.JOB, a_job_body(metadata=version(8)))

    assert memory.find_job(KEY) is None


def test_a_child_that_only_lost_its_label_for_a_while_is_there_again() -> None:
    memory = Memory()
    memory.remember(Kind.POD, with_version(a_pod(), 5))
    memory.forget(Kind.POD, with_version(a_pod(), 6))
    memory.remember(Kind.POD, with_version(a_pod(), 7))
    memory.forget(Kind.POD, with_version(a_pod(), 6))

    assert len(memory.children_of(KEY).pods) == 1


def test_deletions_are_not_remembered_for_ever() -> None:
    memory = Memory()
    for number in range(MOST_GONE + 10):
        memory.forget(Kind.JOB, a_job_body(uid=str(number), metadata=version(9)))

    assert len(memory._gone) == MOST_GONE


def test_a_child_that_was_relabelled_moves_to_the_other_job() -> None:
    memory = Memory()
    memory.remember(Kind.POD, a_pod())
    moved = with_version(a_pod(), 50)
    moved["metadata"]["labels"] = {"finetune.dev/job": "other"}

    other = memory.remember(Kind.POD, moved)

    assert memory.children_of(KEY).pods == ()
    assert other == JobKey(namespace="team", label="other")
    assert len(memory.children_of(other).pods) == 1


def owned_by(owner: str, *, is_controller: bool = True) -> dict[str, Any]:
    reference = {"kind": "FineTuneSchedule", "name": owner, "uid": owner}
    return {"ownerReferences": [{**reference, "controller": is_controller}]}


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param({}, id="taken off"),
        pytest.param({"ownerReferences": []}, id="emptied"),
        pytest.param(owned_by("other"), id="another schedule"),
        pytest.param(owned_by("nightly", is_controller=False), id="no controller"),
    ],
)
def test_a_job_whose_owner_was_edited_is_no_longer_the_schedules(edited: dict[str, Any]) -> None:
    memory = Memory()
    memory.remember(Kind.JOB, a_job_body(metadata=version(5, **owned_by("nightly"))))
    job = a_job_body(metadata=version(6, **edited))
    memory.remember(Kind.JOB, job)
    assert memory.jobs_owned_by("nightly") == ()

    memory.forget(Kind.JOB, job)

    assert [memory.jobs_owned_by(owner) for owner in ("nightly", "other")] == [(), ()]
    assert memory._owned == {}


def with_version(body: dict[str, Any], number: int) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], **version(number)}}
