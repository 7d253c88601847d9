# SPDX-License-Identifier: Apache-2.0
from typing import Any

import pytest

from factories import (
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
from finetune_contract.outcome import Blame
from finetune_contract.progress import TrainerPhase
from finetune_operator.attempts import Attempt, Result, render_attempts
from finetune_operator.observation import Children, Observed, observe

LATER = NOW + seconds(60)


def watch(
    *attempts: Attempt,
    training_jobs: tuple[dict[str, Any], ...] = (),
    pods: tuple[dict[str, Any], ...] = (),
    progress: dict[str, Any] | None = None,
    now: Any = LATER,
    **spec: Any,
) -> Observed:
    status = {
        "runId": "0123456789",
        "attempts": render_attempts(attempts),
        "progress": progress or {},
    }
    children = Children(training_jobs=training_jobs, pods=pods)
    return observe(a_job(**spec), a_job_body(status=status, **spec), children, now)


def newest(observed: Observed) -> Attempt:
    assert observed.newest is not None
    return observed.newest


def test_new_job_is_not_accepted_and_has_nothing() -> None:
    assert observe(a_job(), a_job_body(), Children(), NOW) == Observed(is_accepted=False)


def test_attempt_whose_record_was_never_written_is_found_by_its_job() -> None:
    """The operator was killed between the Job and the status."""
    observed = watch(training_jobs=(a_training_job(1),))

    assert observed.attempts == (an_attempt(1),)


def test_job_of_an_earlier_namesake_is_not_ours() -> None:
    observed = watch(training_jobs=(a_training_job(1, owner="earlier"),))

    assert observed.attempts == ()


def test_finished_job_ends_its_attempt_with_its_outcome() -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Complete", at=LATER),),
        pods=(an_ended_pod(0, message=a_good_outcome().to_json()),),
    )

    attempt = newest(observed)
    assert (attempt.result, attempt.end, attempt.exit_code) == (Result.SUCCEEDED, LATER, 0)
    assert (attempt.last_step, attempt.steps_lost) == (10, 0)
    assert observed.outcome == a_good_outcome()


def test_failed_job_ends_its_attempt_with_the_verdict() -> None:
    outcome = a_bad_outcome(Blame.USER)
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed", at=LATER),),
        pods=(an_ended_pod(64, message=outcome.to_json()),),
    )

    attempt = newest(observed)
    assert (attempt.result, attempt.end, attempt.exit_code) == (Result.FAILED, LATER, 64)
    assert attempt.failure == outcome.failure
    assert (attempt.last_step, attempt.steps_lost) == (7, 2)


def test_interrupted_attempt_is_not_a_failed_one() -> None:
    outcome = a_bad_outcome(Blame.INTERRUPTION)
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(143, message=outcome.to_json()),),
    )

    assert newest(observed).result is Result.INTERRUPTED


def test_deleted_job_is_an_interruption_that_ends_now() -> None:
    attempt = newest(watch(an_attempt(), now=LATER))

    assert (attempt.result, attempt.end) == (Result.INTERRUPTED, LATER)
    assert attempt.failure is not None
    assert attempt.failure.reason == "TrainingJobDeleted"


def test_recorded_end_is_never_looked_at_again() -> None:
    ended = an_attempt(result=Result.FAILED)

    observed = watch(ended, training_jobs=(a_training_job(ended="Complete"),))

    assert newest(observed) == ended


def test_killed_attempt_keeps_the_last_reported_step() -> None:
    progress = {"attempt": 1, "step": 30, "resumedFromStep": 10}
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(137),),
        progress=progress,
    )

    attempt = newest(observed)
    assert (attempt.last_step, attempt.resumed_from_step, attempt.steps_lost) == (30, 10, None)


def test_a_late_report_still_reaches_the_killed_attempt() -> None:
    ended = an_attempt(result=Result.FAILED, last_step=30)

    assert newest(watch(ended, progress={"attempt": 1, "step": 34})).last_step == 34


def test_the_next_attempt_tells_what_the_killed_one_has_lost() -> None:
    observed = watch(
        an_attempt(1, Result.FAILED, last_step=30),
        an_attempt(2),
        training_jobs=(a_training_job(2),),
        progress={"attempt": 2, "step": 26, "resumedFromStep": 25},
    )

    assert [attempt.steps_lost for attempt in observed.attempts] == [5, None]


def test_an_attempt_that_never_reported_hides_nothing() -> None:
    observed = watch(
        an_attempt(1, Result.FAILED, last_step=30),
        an_attempt(2, Result.FAILED),
        an_attempt(3, last_step=27, resumed_from_step=25),
        training_jobs=(a_training_job(3),),
    )

    assert [attempt.steps_lost for attempt in observed.attempts] == [5, None, None]


def test_end_of_an_attempt_is_seen_even_if_the_next_one_was_started_already() -> None:
    """The operator was killed between starting it and recording the end of the last."""
    observed = watch(
        an_attempt(1),
        training_jobs=(a_training_job(1, ended="Failed"), a_training_job(2)),
        pods=(an_ended_pod(143, message=a_bad_outcome(Blame.INTERRUPTION).to_json()),),
    )

    first, second = observed.attempts
    assert (first.result, first.steps_lost) == (Result.INTERRUPTED, 2)
    assert (second.number, second.result) == (2, Result.RUNNING)


def test_what_an_outcome_said_of_lost_steps_is_kept() -> None:
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
def test_why_a_pod_does_not_run(status: dict[str, Any], words: str) -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(),),
        pods=(a_pod(phase="Pending", status=status),),
    )

    assert (observed.started_pods, observed.waiting_for) == (0, words)


def test_a_pod_that_has_ended_did_run() -> None:
    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(an_ended_pod(0),))

    assert observed.started_pods == 1


def test_on_a_single_node_only_the_newest_pod_counts() -> None:
    replaced = an_ended_pod(143, name="a")
    pending = a_pod(
        name="b", phase="Pending", metadata={"creationTimestamp": "2026-05-04T13:00:00Z"}
    )

    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(replaced, pending))

    assert observed.started_pods == 0


def test_pods_of_the_running_attempt_do_not_linger() -> None:
    observed = watch(an_attempt(), training_jobs=(a_training_job(),), pods=(a_pod(),))

    assert observed.lingering_pods == ()


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(a_pod(), id="of the attempt that ended"),
        pytest.param(a_pod(owner="earlier"), id="of an earlier job of the same name"),
    ],
)
def test_pods_that_still_save_linger(pod: dict[str, Any]) -> None:
    ended = an_attempt(result=Result.INTERRUPTED)

    assert watch(ended, pods=(pod,)).lingering_pods == ("balloon-1-abcde",)
    assert watch(pods=(pod,)).lingering_pods == ("balloon-1-abcde",)
    assert watch(ended, pods=(an_ended_pod(143),)).lingering_pods == ()


def test_long_words_are_cut() -> None:
    observed = watch(
        an_attempt(),
        training_jobs=(a_training_job(ended="Failed"),),
        pods=(an_ended_pod(1, message="x" * 4000),),
    )

    failure = newest(observed).failure
    assert failure is not None
    assert len(failure.message) == 1024
