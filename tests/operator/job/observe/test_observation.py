# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category, ExitCode
from finetune_contract.progress import TrainerPhase
from finetune_operator.job.attempts import Attempt, Result, render_attempts
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.observe.observation import Children, Observed, observe
from finetune_operator.objects.names import LABEL_ATTEMPT
from finetune_operator.objects.times import render_time
from support.factories import (
    DISRUPTED,
    NOW,
    a_bad_outcome,
    a_good_outcome,
    a_job,
    a_job_body,
    a_pod,
    a_training_job,
    an_attempt,
    an_ended_pod,
    seconds,
)

LATER = NOW + seconds(60)


def watch(
    *attempts: Attempt,
    training_jobs: tuple[dict[str, Any], ...] = (),
    pods: tuple[dict[str, Any], ...] = (),
    complaint: str = "",
    progress: dict[str, Any] | None = None,
    now: Any = LATER,
    **spec: Any,
) -> Observed:
    status = {
        "runId": "0123456789",
        "attempts": render_attempts(attempts),
        "progress": progress or {},
    }
    children = Children(training_jobs=training_jobs, pods=pods, complaint=complaint)
    return observe(a_job(**spec), a_job_body(status=status, **spec), children, now)


def newest(observed: Observed) -> Attempt:
    assert observed.newest is not None
    return observed.newest


def test_a_new_job_has_no_attempts() -> None:
    assert observe(a_job(), a_job_body(), Children(), NOW) == Observed()


def test_an_unrecorded_attempt_is_found_by_its_job() -> None:
    """The operator was killed between the creation of the Job and the update of the status."""
    observed = watch(training_jobs=(a_training_job(1),))

    assert observed.attempts == (an_attempt(1),)


def test_a_training_job_of_a_deleted_job_with_the_same_name_is_ignored() -> None:
    observed = watch(training_jobs=(a_training_job(1, owner="earlier"),))

    assert observed.attempts == ()


def test_a_finished_training_job_ends_its_attempt_with_its_outcome() -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Complete", at=LATER),),
        pods=(an_ended_pod(0, message=a_good_outcome().to_json()),),
    )

    attempt = newest(observed)
    assert (attempt.result, attempt.end, attempt.exit_code) == (Result.SUCCEEDED, LATER, 0)
    assert (attempt.last_step, attempt.steps_lost) == (10, 0)
    assert observed.outcome == a_good_outcome()


def test_a_failed_training_job_ends_its_attempt_with_the_verdict() -> None:
    outcome = a_bad_outcome(Category.USER)
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed", at=LATER),),
        pods=(an_ended_pod(64, message=outcome.to_json()),),
    )

    attempt = newest(observed)
    assert (attempt.result, attempt.end, attempt.exit_code) == (Result.FAILED, LATER, 64)
    assert attempt.failure == outcome.failure
    assert (attempt.last_step, attempt.steps_lost) == (7, 2)


def test_an_interrupted_attempt_is_not_a_failed_one() -> None:
    outcome = a_bad_outcome(Category.INTERRUPTION)
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(143, message=outcome.to_json()),),
    )

    assert newest(observed).result is Result.INTERRUPTED


def test_a_deleted_training_job_is_an_interruption_that_ends_now() -> None:
    attempt = newest(watch(an_attempt(), now=LATER))

    assert (attempt.result, attempt.end) == (Result.INTERRUPTED, LATER)
    assert attempt.failure is not None
    assert attempt.failure.reason == "TrainingJobDeleted"


def test_a_recorded_end_is_never_observed_again() -> None:
    ended = an_attempt(result=Result.FAILED)

    observed = watch(ended, training_jobs=(a_training_job(ended="Complete"),))

    assert newest(observed) == ended


def test_a_killed_attempt_keeps_the_last_reported_step() -> None:
    progress = {"attempt": 1, "step": 30, "resumedFromStep": 10}
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(137),),
        progress=progress,
    )

    attempt = newest(observed)
    assert (attempt.last_step, attempt.resumed_from_step, attempt.steps_lost) == (30, 10, None)


def test_a_late_report_still_updates_the_killed_attempt() -> None:
    ended = an_attempt(result=Result.FAILED, last_step=30)

    assert newest(watch(ended, progress={"attempt": 1, "step": 34})).last_step == 34


def test_the_next_attempt_reports_the_steps_lost_by_the_killed_one() -> None:
    observed = watch(
        an_attempt(1, Result.FAILED, last_step=30),
        an_attempt(2),
        training_jobs=(a_training_job(2),),
        progress={"attempt": 2, "step": 26, "resumedFromStep": 25},
    )

    assert [attempt.steps_lost for attempt in observed.attempts] == [5, None]


def test_an_attempt_without_reports_does_not_hide_earlier_losses() -> None:
    observed = watch(
        an_attempt(1, Result.FAILED, last_step=30),
        an_attempt(2, Result.FAILED),
        an_attempt(3, last_step=27, resumed_from_step=25),
        training_jobs=(a_training_job(3),),
    )

    assert [attempt.steps_lost for attempt in observed.attempts] == [5, None, None]


def test_the_end_of_an_attempt_is_observed_even_if_the_next_one_has_started() -> None:
    """The operator was killed between the start of the next attempt and the record of this end."""
    observed = watch(
        an_attempt(1),
        training_jobs=(a_training_job(1, ended="Failed"), a_training_job(2)),
        pods=(an_ended_pod(143, message=a_bad_outcome(Category.INTERRUPTION).to_json()),),
    )

    first, second = observed.attempts
    assert (first.result, first.steps_lost) == (Result.INTERRUPTED, 2)
    assert (second.number, second.result) == (2, Result.RUNNING)


def test_the_lost_steps_of_an_outcome_are_kept() -> None:
    observed = watch(
        an_attempt(1, Result.INTERRUPTED, last_step=30, steps_lost=0),
        an_attempt(2),
        training_jobs=(a_training_job(2),),
        progress={"attempt": 2, "step": 26, "resumedFromStep": 25},
    )

    assert observed.attempts[0].steps_lost == 0


@pytest.mark.parametrize(
    ("progress", "expected"),
    [
        pytest.param({"attempt": 1, "phase": "Training"}, TrainerPhase.TRAINING, id="current"),
        pytest.param({"attempt": 0, "phase": "Training"}, None, id="of an earlier attempt"),
        pytest.param({"attempt": 1, "phase": "Distilling"}, None, id="of another version"),
        pytest.param({}, None, id="no report"),
    ],
)
def test_only_the_newest_attempts_report_counts(
    progress: dict[str, Any], expected: TrainerPhase | None
) -> None:
    observed = watch(an_attempt(), training_jobs=(a_training_job(),), progress=progress)

    assert observed.trainer_phase is expected


def waiting(reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "trainer", "state": state}]}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]},
            "pod balloon-1-abcde is not scheduled: 0/3 nodes",
            id="scheduler",
        ),
        pytest.param(
            waiting("ImagePullBackOff", "no such image"),
            "pod balloon-1-abcde does not start: ImagePullBackOff: no such image",
            id="kubelet",
        ),
        pytest.param(waiting("ContainerCreating", ""), "", id="nothing to complain of"),
    ],
)
def test_the_reason_why_a_pod_does_not_run_is_found(status: dict[str, Any], words: str) -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(),),
        pods=(a_pod(phase="Pending", status=status),),
    )

    assert (observed.started_pods, observed.waiting_for) == (0, words)


def test_the_reason_why_a_pod_was_not_created_is_found() -> None:
    refused = "pods is forbidden: exceeded quota: team"
    job = {**a_training_job(), "status": {"startTime": render_time(NOW)}}

    observed = watch(an_attempt(), training_jobs=(job,), complaint=refused)

    assert (observed.waiting_for, observed.waiting_since) == (
        f"a pod could not be created: {refused}",
        NOW,
    )


def test_a_missing_replacement_has_no_known_waiting_time() -> None:
    job = {**a_training_job(), "status": {"startTime": render_time(NOW)}}
    ran = replace(an_attempt(), pods_started=NOW)

    assert watch(ran, training_jobs=(job,)).waiting_since is None
    gang = {**job, "spec": {**job["spec"], "completionMode": "Indexed"}}
    assert watch(ran, training_jobs=(gang,)).waiting_since == NOW


@pytest.mark.parametrize(
    ("pod", "is_replaced"),
    [
        pytest.param(an_ended_pod(ExitCode.INTERRUPTED), True, id="interrupted"),
        pytest.param(an_ended_pod(137, conditions=[DISRUPTED]), True, id="killed by a disruption"),
        pytest.param(a_pod(phase="Failed", status={"conditions": [DISRUPTED]}), True, id="evicted"),
        pytest.param(an_ended_pod(ExitCode.USER), False, id="failed permanently"),
        pytest.param(an_ended_pod(0), False, id="done"),
    ],
)
def test_a_quota_that_refuses_a_replacement_is_reported(
    pod: dict[str, Any], is_replaced: bool
) -> None:
    job = {**a_training_job(), "status": {"startTime": render_time(NOW)}}
    ran = replace(an_attempt(), pods_started=NOW)

    observed = watch(ran, training_jobs=(job,), pods=(pod,), complaint="exceeded quota: team")

    assert observed.started_pods == (0 if is_replaced else 1)
    decision = decide(a_job(), observed, NOW + seconds(10_000))
    assert ("exceeded quota: team" in decision.message) == is_replaced
    assert decision.attempt_to_start is None


@pytest.mark.parametrize(
    ("ready", "containers_ready", "gates", "is_told"),
    [
        pytest.param("False", "True", [], True, id="marked by the node controller"),
        pytest.param("True", "True", [], False, id="well"),
        pytest.param("False", "False", [], False, id="its container is not ready"),
        pytest.param("False", "True", [{"conditionType": "mine"}], False, id="a gate is closed"),
    ],
)
def test_a_node_that_is_not_ready_is_reported(
    ready: str, containers_ready: str, gates: list[Any], is_told: bool
) -> None:
    found = [
        {"type": "Ready", "status": ready},
        {"type": "ContainersReady", "status": containers_ready},
    ]
    pod = a_pod(status={"conditions": found})
    pod["spec"] = {"nodeName": "gpu-7", "readinessGates": gates}

    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(pod,))

    words = "node gpu-7 is NotReady, so it is unknown whether pod balloon-1-abcde"
    assert observed.silent_nodes.startswith(words) if is_told else not observed.silent_nodes


def test_a_terminated_pod_counts_as_started() -> None:
    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(an_ended_pod(0),))

    assert observed.started_pods == 1


def test_on_a_single_node_only_the_newest_pod_counts() -> None:
    replaced = an_ended_pod(143, name="a")
    pending = a_pod(
        name="b", phase="Pending", metadata={"creationTimestamp": "2026-05-04T13:00:00Z"}
    )

    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(replaced, pending))

    assert observed.started_pods == 0


def test_pods_of_the_running_attempt_are_not_lingering() -> None:
    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(a_pod(),))

    assert observed.lingering_pods == ()


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(a_pod(), id="of the attempt that ended"),
        pytest.param(a_pod(owner="earlier"), id="of an earlier job of the same name"),
    ],
)
def test_pods_that_are_still_saving_are_lingering(pod: dict[str, Any]) -> None:
    ended = an_attempt(result=Result.INTERRUPTED)

    assert watch(ended, pods=(pod,)).lingering_pods == ("balloon-1-abcde",)
    assert watch(pods=(pod,)).lingering_pods == ("balloon-1-abcde",)
    assert watch(ended, pods=(an_ended_pod(143),)).lingering_pods == ()


def test_long_messages_are_truncated() -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(1, message="x" * 4000),),
    )

    failure = newest(observed).failure
    assert failure is not None
    assert len(failure.message) == 1024


@pytest.mark.parametrize("label", ["", "x", "0", "-1", "2", "9" * 60, "\u0661", "1 ", "1e3"])
def test_an_edited_label_of_an_unrecorded_job_starts_no_invented_attempt(label: str) -> None:
    edited = a_training_job()
    edited["metadata"]["labels"] = {**edited["metadata"]["labels"], LABEL_ATTEMPT: label}

    observed = watch(training_jobs=(edited,))

    assert observed.attempts == ()
