# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from finetune_operator.job.manifests import build_attempt
from finetune_operator.kube.cache import MOST_GONE, Kind, ObjectCache
from finetune_operator.objects.names import JobKey, job_label
from support.factories import SETTINGS, a_job, a_job_body, a_pod, a_training_job, an_ended_pod

KEY = JobKey(namespace="team", label="balloon")


def version(number: int, **more: Any) -> dict[str, Any]:
    return {"resourceVersion": str(number), **more}


def test_a_job_and_its_children_have_one_key() -> None:
    cache = ObjectCache()

    assert cache.remember(Kind.JOB, a_job_body()) == KEY
    assert cache.remember(Kind.TRAINING_JOB, a_training_job()) == KEY
    assert cache.remember(Kind.POD, a_pod()) == KEY
    assert cache.known_keys() == (KEY,)
    assert [len(cache.children_of(KEY).training_jobs), len(cache.children_of(KEY).pods)] == [1, 1]


def test_children_of_jobs_with_long_names_are_found() -> None:
    cache = ObjectCache()
    key = cache.remember(Kind.JOB, a_job_body(name="a" * 200))

    pod = a_pod()
    pod["metadata"]["labels"]["finetune.dev/job"] = key.label

    assert cache.remember(Kind.POD, pod) == key


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    """The response to a write and its event may arrive in any order."""
    cache = ObjectCache()
    cache.remember(Kind.JOB, a_job_body(metadata=version(10), status={"phase": "new"}))
    cache.remember(Kind.JOB, a_job_body(metadata=version(9), status={"phase": "old"}))

    job = cache.find_job(KEY)

    assert job is not None
    assert job["status"]["phase"] == "new"


def test_a_job_deleted_and_created_again_is_the_new_one() -> None:
    cache = ObjectCache()
    old = a_job_body(uid="old", metadata=version(5))
    cache.remember(Kind.JOB, old)
    cache.remember(Kind.JOB, a_job_body(uid="new", metadata=version(8)))

    job = cache.find_job(KEY)
    assert job is not None
    assert job["metadata"]["uid"] == "new"

    cache.forget(Kind.JOB, old)
    assert cache.find_job(KEY) == job


def test_managed_fields_are_dropped() -> None:
    cache = ObjectCache()
    cache.remember(Kind.JOB, a_job_body(metadata={"managedFields": [{"manager": "kubectl"}]}))

    assert "managedFields" not in (cache.find_job(KEY) or {})["metadata"]


def test_a_pods_termination_message_is_kept_as_long_as_its_job() -> None:
    cache = ObjectCache()
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, a_pod())

    cache.forget(Kind.POD, an_ended_pod(143, message="last words"))

    (pod,) = cache.children_of(KEY).pods
    terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert terminated["message"] == "last words"
    assert cache.present(Kind.POD) == ()

    cache.forget(Kind.TRAINING_JOB, a_training_job())
    assert cache.children_of(KEY).pods == ()


def test_a_pod_that_vanished_while_running_is_forgotten() -> None:
    cache = ObjectCache()
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, a_pod())

    cache.forget(Kind.POD, a_pod())

    assert cache.children_of(KEY).pods == ()


def test_a_pod_that_is_still_saving_is_kept_when_its_job_is_deleted() -> None:
    cache = ObjectCache()
    cache.remember(Kind.TRAINING_JOB, a_training_job())
    cache.remember(Kind.POD, a_pod())

    cache.forget(Kind.TRAINING_JOB, a_training_job())

    assert len(cache.children_of(KEY).pods) == 1


def test_nothing_is_kept_of_deleted_objects() -> None:
    cache = ObjectCache()
    for kind, body in (
        (Kind.JOB, a_job_body()),
        (Kind.TRAINING_JOB, a_training_job()),
        (Kind.POD, a_pod()),
    ):
        cache.remember(kind, body)
        cache.forget(kind, body)

    assert cache.known_keys() == ()
    assert all(not bodies for bodies in cache._bodies.values())


LONG = "a" * 200


def of_long_name(*, is_older: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its Job, and a pod of it, as created by a current or an older operator."""
    made = build_attempt(a_job(name=LONG), 1, SETTINGS)[-1]
    training_job = {**made, "metadata": made["metadata"] | version(1, uid="uid-of-job-1")}
    labels = dict(training_job["metadata"]["labels"])
    if is_older:
        del labels["finetune.dev/job-key"]
    training_job["metadata"]["labels"] = labels
    pod = a_pod()
    owner = {"uid": "uid-of-job-1", "controller": True, "kind": "Job", "name": "x"}
    pod["metadata"] |= {"labels": labels, "ownerReferences": [owner]}
    return training_job, pod


@pytest.mark.parametrize("is_older", [False, True], ids=["of today", "of an older operator"])
@pytest.mark.parametrize("is_pod_first", [False, True], ids=["Job first", "pod first"])
def test_a_job_with_a_long_name_has_its_children(is_older: bool, is_pod_first: bool) -> None:
    cache = ObjectCache()
    key = cache.remember(Kind.JOB, a_job_body(name=LONG))
    training_job, pod = of_long_name(is_older=is_older)
    told = [(Kind.TRAINING_JOB, training_job), (Kind.POD, pod)]

    for kind, body in reversed(told) if is_pod_first else told:
        cache.remember(kind, body)

    assert isinstance(key, JobKey)
    found = cache.children_of(key)
    assert (list(found.training_jobs), len(found.pods)) == ([training_job], 1)
    assert cache.remember(Kind.POD, pod) == key


@pytest.mark.parametrize("is_pod_first", [False, True], ids=["Job first", "pod first"])
def test_nothing_is_kept_of_a_deleted_job_with_a_long_name(is_pod_first: bool) -> None:
    cache = ObjectCache()
    training_job, pod = of_long_name(is_older=True)
    told = [(Kind.TRAINING_JOB, training_job), (Kind.POD, pod)]
    keys = {cache.remember(kind, body) for kind, body in told}

    for number, (kind, body) in enumerate(reversed(told) if is_pod_first else told):
        assert {cache.remember(Kind.POD, pod)} == keys, f"with {number} of two gone"
        cache.forget(kind, body)

    assert (cache._renamed, cache._labelled) == ({}, {})


def test_a_pod_of_another_job_with_the_same_label_is_not_attributed_to_this_job() -> None:
    """A search for ten matching digits takes minutes."""
    cache = ObjectCache()
    key = cache.remember(Kind.JOB, a_job_body(name=LONG))
    _, pod = of_long_name(is_older=False)
    pod["metadata"]["labels"] |= {"finetune.dev/job-key": "other"}
    assert pod["metadata"]["labels"]["finetune.dev/job"] == job_label(LONG)

    cache.remember(Kind.POD, pod)

    assert isinstance(key, JobKey)
    assert cache.children_of(key).pods == ()


def test_an_older_list_does_not_restore_a_deleted_object() -> None:
    """A list, or a response to a get, may arrive after the watch reports the deletion."""
    for kind, body in (
        (Kind.JOB, a_job_body(metadata=version(5))),
        (Kind.TRAINING_JOB, with_version(a_training_job(), 5)),
        (Kind.POD, with_version(a_pod(), 5)),
    ):
        cache = ObjectCache()
        cache.remember(kind, body)
        cache.forget(kind, with_version(body, 9))

        cache.remember(kind, body)
        cache.remember(kind, with_version(body, 9))

        assert cache.present(kind) == ()


def test_an_older_list_does_not_restore_an_object_first_seen_as_deleted() -> None:
    cache = ObjectCache()
    cache.forget(Kind.JOB, a_job_body(metadata=version(9)))
    cache.remember(Kind.JOB, a_job_body(metadata=version(8)))

    assert cache.find_job(KEY) is None


def test_a_child_that_temporarily_lost_its_label_is_found_again() -> None:
    cache = ObjectCache()
    cache.remember(Kind.POD, with_version(a_pod(), 5))
    cache.forget(Kind.POD, with_version(a_pod(), 6))
    cache.remember(Kind.POD, with_version(a_pod(), 7))
    cache.forget(Kind.POD, with_version(a_pod(), 6))

    assert len(cache.children_of(KEY).pods) == 1


def test_deletions_are_not_remembered_forever() -> None:
    cache = ObjectCache()
    for number in range(MOST_GONE + 10):
        cache.forget(Kind.JOB, a_job_body(uid=str(number), metadata=version(9)))

    assert len(cache._gone) == MOST_GONE


def test_a_relabelled_child_moves_to_the_other_job() -> None:
    cache = ObjectCache()
    cache.remember(Kind.POD, a_pod())
    moved = with_version(a_pod(), 50)
    moved["metadata"]["labels"] = {"finetune.dev/job": "other"}

    other = cache.remember(Kind.POD, moved)

    assert cache.children_of(KEY).pods == ()
    assert other == JobKey(namespace="team", label="other")
    assert len(cache.children_of(other).pods) == 1


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
def test_a_job_whose_owner_was_edited_no_longer_belongs_to_the_schedule(
    edited: dict[str, Any],
) -> None:
    cache = ObjectCache()
    cache.remember(Kind.JOB, a_job_body(metadata=version(5, **owned_by("nightly"))))
    job = a_job_body(metadata=version(6, **edited))
    cache.remember(Kind.JOB, job)
    assert cache.jobs_owned_by("nightly") == ()

    cache.forget(Kind.JOB, job)

    assert [cache.jobs_owned_by(owner) for owner in ("nightly", "other")] == [(), ()]
    assert cache._owned == {}


def with_version(body: dict[str, Any], number: int) -> dict[str, Any]:
    return {**body, "metadata": {**body["metadata"], **version(number)}}
