# SPDX-License-Identifier: Apache-2.0
"""`reconcile` with a fake API server, scenario by scenario; crashes around every write."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from finetune_contract.outcome import Category, ExitCode, Outcome
from finetune_operator.job.reconcile import reconcile
from finetune_operator.objects import conditions
from finetune_operator.objects.errors import Conflict
from finetune_operator.objects.times import render_time
from support.factories import (
    CONFIG,
    NOW,
    SETTINGS,
    a_bad_outcome,
    a_good_outcome,
    a_job_body,
    a_pod,
    an_ended_pod,
    seconds,
)
from support.fake_cluster import Crash, FakeCluster
from support.long_form import keeping
from support.operator_passes import go, settle


def end_attempt(cluster: FakeCluster, outcome: Outcome, at: datetime = NOW) -> None:
    """Simulates kubelet and Job controller: the newest attempt's pod ends, then its Job."""
    training_job = max(cluster.training_jobs(), key=attempt_of)
    number = attempt_of(training_job)
    pod = an_ended_pod(outcome.exit_code, message=outcome.to_json(), at=at, attempt=number)
    cluster.objects["Pod", pod["metadata"]["name"]] = pod
    failed = outcome.failure is not None
    training_job["status"] = {
        "conditions": [
            {
                "type": "Failed" if failed else "Complete",
                "status": "True",
                "lastTransitionTime": render_time(at),
            }
        ]
    }


def attempt_of(training_job: dict[str, Any]) -> int:
    return int(training_job["metadata"]["labels"]["finetune.dev/attempt"])


def test_a_valid_job_is_started_and_accepted_with_one_status_write() -> None:
    cluster = FakeCluster(a_job_body())

    go(cluster)

    assert cluster.writes == ["create ConfigMap", "create Job", "status", "event"]
    assert conditions.is_true(cluster.status["conditions"], "Accepted")
    assert (cluster.status["phase"], cluster.status["attempt"]) == ("Starting", 1)
    assert [event["reason"] for event in cluster.events] == ["AttemptStarted"]


def test_nothing_is_written_while_nothing_changes() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    before = list(cluster.writes)

    for _ in range(5):
        go(cluster, NOW + seconds(3600))

    assert cluster.writes == before


def test_the_admission_time_is_written_with_the_next_change() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    before = list(cluster.writes)
    let_in = render_time(NOW + seconds(1))
    cluster.training_jobs()[0]["status"] = {"startTime": let_in, "active": 1}

    settle(cluster)

    assert cluster.writes == before
    cluster.objects["Pod", "balloon-1-abcde"] = a_pod()
    settle(cluster)
    assert cluster.writes == [*before, "status"]
    assert cluster.status["startTime"] == let_in
    assert cluster.status["attempts"][0]["admittedTime"] == let_in


def test_steps_are_written_once_and_not_again_with_the_attempt_that_takes_them() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    cluster.objects["Pod", "balloon-1-abcde"] = a_pod()
    for step in (1, 2, 7):
        progress = {"attempt": 1, "step": step, "totalSteps": 9, "phase": "Training"}
        cluster.job["status"] = {**cluster.status, "progress": progress}
        before = list(cluster.writes)
        settle(cluster)
        assert step == 1 or cluster.writes == before  # The first makes the phase Running.

    end_attempt(cluster, a_bad_outcome(Category.INTERRUPTION))
    settle(cluster)
    assert cluster.status["attempts"][0]["lastStep"] == 7


def test_the_complete_life_of_a_job_takes_few_writes() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    cluster.objects["Pod", "balloon-1-abcde"] = a_pod()
    settle(cluster)
    cluster.merge_status({"progress": {"attempt": 1, "phase": "Training", "step": 1}})
    settle(cluster)
    end_attempt(cluster, a_good_outcome())
    settle(cluster)

    assert cluster.status["phase"] == "Succeeded"
    assert len(cluster.writes) == 8


def test_an_invalid_job_gets_a_condition_and_nothing_else() -> None:
    cluster = FakeCluster(a_job_body(config={**CONFIG, "learning_rte": 1}))

    settle(cluster)

    assert cluster.objects == {}
    assert cluster.status["conditions"][0]["reason"] == "InvalidSpec"
    assert [event["reason"] for event in cluster.events] == ["InvalidSpec"]


def test_a_corrected_job_starts() -> None:
    cluster = FakeCluster(a_job_body(config={**CONFIG, "learning_rte": 1}))
    settle(cluster)

    cluster.job["spec"]["config"] = dict(CONFIG)
    cluster.job["metadata"]["generation"] = 2
    settle(cluster)

    assert cluster.status["phase"] == "Starting"
    assert cluster.status["observedGeneration"] == 2


def test_a_finished_job_never_starts_again_even_without_its_children() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    end_attempt(cluster, a_good_outcome())
    settle(cluster)
    cluster.objects.clear()

    cluster.job["metadata"]["generation"] = 2
    settle(cluster, NOW + seconds(9999))

    assert cluster.objects == {}
    assert (cluster.status["phase"], cluster.status["observedGeneration"]) == ("Succeeded", 2)


def test_a_user_error_is_not_retried() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    end_attempt(cluster, a_bad_outcome(Category.USER))

    settle(cluster)
    settle(cluster, NOW + seconds(9999))

    assert cluster.status["phase"] == "Failed"
    assert len(cluster.training_jobs()) == 1


def test_a_failed_attempt_is_followed_by_another_when_it_is_due() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    end_attempt(cluster, a_bad_outcome())

    settle(cluster, NOW + seconds(3))
    assert cluster.status["phase"] == "Retrying"
    assert len(cluster.training_jobs()) == 1

    settle(cluster, NOW + seconds(10))
    assert cluster.status["attempt"] == 2
    assert len(cluster.training_jobs()) == 2


def test_an_interrupted_attempt_is_retried_at_once_with_the_lost_steps_of_the_outcome() -> None:
    cluster = FakeCluster(a_job_body(retry={"maxAttempts": 1}))
    settle(cluster)
    end_attempt(cluster, a_bad_outcome(Category.INTERRUPTION))

    settle(cluster)

    first, second = cluster.status["attempts"]
    assert (first["result"], first["stepsLost"], first["lastStep"]) == ("Interrupted", 2, 7)
    assert (second["number"], second["result"]) == (2, "Running")


def test_a_deleted_training_job_is_followed_by_another_attempt() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    del cluster.objects["Job", "balloon-1"]

    settle(cluster)

    first, second = cluster.status["attempts"]
    assert (first["result"], first["reason"]) == ("Interrupted", "TrainingJobDeleted")
    assert second["name"] == "balloon-2"


def test_a_job_that_is_being_deleted_starts_nothing() -> None:
    cluster = FakeCluster(a_job_body(metadata={"deletionTimestamp": "2026-05-04T12:00:00Z"}))

    assert go(cluster) is None
    assert cluster.writes == []


def test_a_child_that_cannot_be_created_again_for_waiting_pods_is_reported() -> None:
    cluster = FakeCluster(a_job_body())
    settle(cluster)
    cluster.objects["Pod", "p"] = a_pod(phase="Pending")
    taken = {"name": "balloon-1", "uid": "x", "ownerReferences": [{"uid": "y", "controller": True}]}
    cluster.objects["ConfigMap", "balloon-1"] = {"metadata": taken}

    settle(cluster, NOW + seconds(600))

    assert cluster.status["phase"] == "Starting"
    assert "is taken" in cluster.status["conditions"][-1]["message"]


def test_a_stale_view_of_a_job_starts_nothing() -> None:
    cluster = FakeCluster(a_job_body())
    stale = dict(cluster.job, metadata={**cluster.job["metadata"], "resourceVersion": "0"})

    with pytest.raises(Conflict):
        asyncio.run(reconcile(stale, cluster=cluster, settings=SETTINGS, now=NOW))

    assert cluster.objects == {}


# A job's complete life, as events between the operator's passes.

Scene = Callable[[FakeCluster, datetime], None]


def interrupt(cluster: FakeCluster, now: datetime) -> None:
    end_attempt(cluster, a_bad_outcome(Category.INTERRUPTION), now)


def break_down(cluster: FakeCluster, now: datetime) -> None:
    end_attempt(cluster, a_bad_outcome(), now)


def succeed(cluster: FakeCluster, now: datetime) -> None:
    end_attempt(cluster, a_good_outcome(), now)


def refuse(cluster: FakeCluster, now: datetime) -> None:
    end_attempt(cluster, a_bad_outcome(Category.USER), now)


def kill_and_clean_up(cluster: FakeCluster, now: datetime) -> None:
    """Pod and termination message are deleted before they were read; the Job's condition
    remains.
    """
    end_attempt(cluster, a_bad_outcome(), now)
    for identity in [identity for identity in cluster.objects if identity[0] == "Pod"]:
        del cluster.objects[identity]
    training_job = cluster.training_jobs()[-1]
    training_job["status"]["conditions"][0]["message"] = (
        f"Container trainer failed with exit code {ExitCode.INFRASTRUCTURE} matching FailJob rule"
    )


LIVES = [
    pytest.param([succeed], "Succeeded", id="succeeds"),
    pytest.param([refuse], "Failed", id="user error"),
    pytest.param([interrupt, succeed], "Succeeded", id="interrupted once"),
    pytest.param([break_down, interrupt, succeed], "Succeeded", id="broken, interrupted, done"),
    pytest.param([kill_and_clean_up, succeed], "Succeeded", id="killed without a trace"),
    pytest.param([break_down, break_down, break_down], "Failed", id="attempts used up"),
]


def live(scenes: list[Scene], *, nodes: int, **crash: int) -> FakeCluster:
    """The job's life with an operator that is killed at one write and restarted."""
    cluster = FakeCluster(a_job_body(resources={"nodes": nodes}))
    cluster.crash_before, cluster.crash_after = crash.get("before"), crash.get("after")
    now = NOW
    for scene in scenes:
        survive(cluster, now)
        scene(cluster, now)
        survive(cluster, now)
        now += seconds(600)
    survive(cluster, now)
    return cluster


def survive(cluster: FakeCluster, now: datetime) -> None:
    try:
        settle(cluster, now)
    except Crash:
        settle(cluster, now)


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(
    ("scenes", "end"),
    keeping(("user error", "interrupted once", "killed without a trace"), LIVES),
)
def test_killed_around_any_write_each_attempt_has_one_job_and_the_job_ends(
    scenes: list[Scene], end: str, nodes: int
) -> None:
    undisturbed = live(scenes, nodes=nodes)
    assert undisturbed.status["phase"] == end

    for number in range(len(undisturbed.writes)):
        for crash in ({"before": number}, {"after": number}):
            cluster = live(scenes, nodes=nodes, **crash)

            assert records(cluster) == records(undisturbed), crash
            names = sorted(job["metadata"]["name"] for job in cluster.training_jobs())
            assert names == [f"balloon-{n}" for n in range(1, len(scenes) + 1)], crash


def records(cluster: FakeCluster) -> Any:
    """The result of a life: it must not depend on crashes."""
    return (
        cluster.status["phase"],
        [
            (record["number"], record["result"], record.get("category"), record.get("stepsLost"))
            for record in cluster.status["attempts"]
        ],
    )


@pytest.mark.parametrize("ended", ["Failed", "Complete"])
@pytest.mark.parametrize("phase", [{}, {"phase": "Running"}])
def test_a_job_whose_status_was_set_to_finished_is_finished(
    ended: str, phase: dict[str, str]
) -> None:
    """It has no other condition: a user edited its status by hand."""
    condition = {"type": ended, "status": "True", "reason": "Edited", "message": ""}
    status = {**phase, "conditions": [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    cluster = FakeCluster(a_job_body(status=status))

    settle(cluster)

    ready = {it["type"]: it["status"] for it in cluster.status["conditions"]}
    assert ready == {ended: "True", "Ready": str(ended == "Complete")}
    assert cluster.status["observedGeneration"] == 1
    assert cluster.training_jobs() == []
