# SPDX-License-Identifier: Apache-2.0
"""Only checked specs run: a definition is a complete hash, and guard rails apply at every start."""

import copy
from typing import Any

import pytest

from finetune_operator.job.definitions import is_same_definition
from finetune_operator.job.spec import definition_of, is_accepted
from support.factories import CONFIG, a_good_outcome, a_job_body, a_pod, an_ended_pod
from support.fake_cluster import FakeCluster
from support.operator_passes import settle

RERUN = {"onChange": "Rerun"}
FULL = definition_of(a_job_body()["spec"])
SHORT = FULL[:10]


def running() -> FakeCluster:
    cluster = FakeCluster(a_job_body(**RERUN))
    settle(cluster)
    cluster.objects["Pod", "balloon-1-abcde"] = a_pod()
    settle(cluster)
    return cluster


def succeeded() -> FakeCluster:
    cluster = running()
    outcome = a_good_outcome()
    pod = an_ended_pod(outcome.exit_code, message=outcome.to_json(), attempt=1)
    cluster.objects = {key: it for key, it in cluster.objects.items() if key[0] != "Pod"}
    cluster.objects["Pod", pod["metadata"]["name"]] = pod
    (training_job,) = cluster.training_jobs()
    ended = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-05-04T12:00:00Z"}
    training_job["status"] = {"conditions": [ended]}
    settle(cluster)
    assert cluster.status["phase"] == "Succeeded"
    return cluster


def age(cluster: FakeCluster) -> None:
    """The status of an operator whose definitions had ten digits."""
    status = cluster.job["status"]
    for record in (status, *status.get("attempts", ())):
        del record["definitionDigest"]
        assert record["definition"] == SHORT
    for training_job in cluster.training_jobs():
        annotations = training_job["metadata"]["annotations"]
        del annotations["finetune.dev/definition-digest"], annotations["finetune.dev/content"]
        assert annotations["finetune.dev/definition"] == SHORT
    cluster.writes.clear()


def edit(cluster: FakeCluster, **spec: Any) -> None:
    metadata = cluster.job["metadata"]
    cluster.job["spec"] |= spec
    metadata["generation"] += 1
    metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)


def test_a_definition_has_every_bit_of_its_hash() -> None:
    assert len(FULL) == 64


@pytest.mark.parametrize("length", [10, 11, 32, 63])
def test_definitions_with_a_common_prefix_are_different(length: int) -> None:
    other = FULL[:length] + "0" * (64 - length)

    assert not is_same_definition(FULL, other)
    assert is_same_definition(FULL[:length], FULL) is (length == 10)


@pytest.mark.parametrize(
    "change",
    [
        {"image": "evil:1"},
        {"output": {"uri": "s3://models/other"}},
        {"resources": {"nodes": 100, "gpusPerNode": 8}},
        {"config": {**CONFIG, "trust_remote_code": True}},
        {"runToken": "x"},
    ],
    ids=["image", "output", "resources", "config", "token"],
)
def test_another_spec_is_checked_again_even_with_the_same_definition_prefix(
    change: dict[str, Any],
) -> None:
    body = a_job_body(**{**RERUN, **change})
    forged = definition_of(body["spec"])[:10] + FULL[10:]

    for digest in (FULL, forged):
        status = {"runId": "x", "definition": digest[:10], "definitionDigest": digest}
        assert not is_accepted({**body, "status": status})


def test_an_upgraded_operator_continues_a_running_job_and_records_the_full_definition() -> None:
    cluster = running()
    age(cluster)

    settle(cluster)

    assert cluster.writes == ["status"]
    assert cluster.status["definitionDigest"] == FULL
    assert [it["definitionDigest"] for it in cluster.status["attempts"]] == [FULL]
    assert cluster.status["phase"] == "Starting"


def test_an_upgraded_operator_finds_an_attempt_that_a_crash_left_unrecorded() -> None:
    cluster = running()
    age(cluster)
    del cluster.job["status"]["attempts"]

    settle(cluster)

    assert [it["definitionDigest"] for it in cluster.status["attempts"]] == [FULL]
    assert cluster.writes == ["status"]


@pytest.mark.parametrize("edits", [{}, {"ttlSecondsAfterFinished": 10**6}], ids=["none", "an edit"])
def test_an_upgraded_operator_does_not_train_a_finished_job_again(edits: dict[str, Any]) -> None:
    cluster = succeeded()
    age(cluster)
    if edits:
        edit(cluster, **edits)
    before = copy.deepcopy(cluster.objects)

    settle(cluster)

    assert cluster.writes == ["status"]
    assert cluster.objects == before
    assert (cluster.status["phase"], cluster.status["definitionDigest"]) == ("Succeeded", FULL)


def test_an_edit_after_the_upgrade_still_starts_another_run() -> None:
    cluster = succeeded()
    age(cluster)
    edit(cluster, config={**CONFIG, "learning_rate": 1e-4})

    settle(cluster)

    assert cluster.status["attempt"] == 2
    assert cluster.status["definitionDigest"] == definition_of(cluster.job["spec"])


def test_a_short_definition_cannot_bypass_a_guard_rail() -> None:
    """Its ten digits match a crafted spec: the spec that would start is still checked."""
    body = a_job_body(image="evil:1", config={**CONFIG, "trust_remote_code": True}, **RERUN)
    short = definition_of(body["spec"])[:10]
    cluster = FakeCluster({**body, "status": {"runId": "x", "definition": short, "conditions": []}})

    settle(cluster)

    assert not cluster.training_jobs()
    assert "ALLOW_TRUST_REMOTE_CODE" in cluster.status["conditions"][0]["message"]


def test_an_older_operator_finds_the_short_definition_in_its_place() -> None:
    """After a rollback to an older release, nothing may look like another spec."""
    cluster = succeeded()

    assert cluster.status["definition"] == SHORT
    assert [it["definition"] for it in cluster.status["attempts"]] == [SHORT]
    (training_job,) = cluster.training_jobs()
    assert training_job["metadata"]["annotations"]["finetune.dev/definition"] == SHORT


def test_a_stale_full_definition_left_by_an_older_operator_is_ignored() -> None:
    other = definition_of(a_job_body(image="other:1")["spec"])
    status = {"runId": "x", "definition": other[:10], "definitionDigest": FULL}

    assert not is_accepted(a_job_body(status=status))
    assert is_accepted(a_job_body(image="other:1", status=status))
