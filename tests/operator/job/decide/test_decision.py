# SPDX-License-Identifier: Apache-2.0
"""One table for each rule, which includes rows of rules that precede it in `RULES`."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_contract.progress import TrainerPhase
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.decide.next_step import Decision
from finetune_operator.job.observe.observation import Observed
from finetune_operator.objects.names import Phase
from support.factories import NOW, a_failure, a_good_outcome, a_job, an_attempt, seconds

FAILED, INTERRUPTED = Result.FAILED, Result.INTERRUPTED
LONG_AGO = NOW - seconds(3600)


SPEC = ("suspend", "activeDeadlineSeconds", "startDeadlineSeconds")


def rule_on(*attempts: Attempt, now: Any = NOW, max_attempts: int = 3, **given: Any) -> Decision:
    spec = {name: given.pop(name) for name in SPEC if name in given}
    observed = Observed(attempts=attempts, **given)
    return decide(a_job(retry={"maxAttempts": max_attempts}, **spec), observed, now)


def ended(number: int, result: Result, category: Category | None = None) -> Attempt:
    return an_attempt(number, result, start=LONG_AGO, category=category)


def test_a_valid_job_gets_its_first_attempt() -> None:
    decision = rule_on()

    assert (decision.phase, decision.attempt_to_start) == (Phase.STARTING, 1)


def test_a_succeeded_attempt_ends_the_job() -> None:
    decision = rule_on(ended(1, FAILED), an_attempt(2, Result.SUCCEEDED))

    assert (decision.phase, decision.attempt_to_start) == (Phase.SUCCEEDED, None)


def test_a_user_error_is_not_retried() -> None:
    decision = rule_on(ended(1, FAILED, Category.USER))

    assert (decision.phase, decision.attempt_to_start) == (Phase.FAILED, None)
    assert (decision.reason, decision.check_again_in) == ("StoreUnreachable", None)
    assert decision.message == "no answer. Remedy: wait"


@pytest.mark.parametrize(
    "category", [pytest.param(Category.INFRASTRUCTURE), pytest.param(Category.INTERNAL)], ids=str
)
def test_infrastructure_and_internal_failures_retry_up_to_max_attempts(category: Category) -> None:
    one, two = ended(1, FAILED, category), ended(2, FAILED, category)

    assert rule_on(one, max_attempts=2).attempt_to_start == 2
    exhausted = rule_on(one, two, max_attempts=2)
    assert exhausted.phase is Phase.FAILED
    assert "(2 attempts failed)" in exhausted.message


def test_out_of_memory_is_retried_with_less_memory_until_nothing_can_be_reduced() -> None:
    first = ended(1, FAILED, Category.OUT_OF_MEMORY)

    decision = rule_on(first, max_attempts=1)
    assert decision.attempt_to_start == 2
    assert decision.adjustments == {
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "per_device_eval_batch_size": 4,
    }

    least = {"per_device_train_batch_size": 1}
    last = replace(ended(2, FAILED, Category.OUT_OF_MEMORY), adjustments=least)
    exhausted = rule_on(first, last)
    assert (exhausted.phase, exhausted.attempt_to_start) == (Phase.FAILED, None)


def test_an_adjustment_is_kept_when_a_later_attempt_fails_for_another_reason() -> None:
    less = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    lost = replace(ended(2, INTERRUPTED), adjustments=less)

    assert rule_on(ended(1, FAILED, Category.OUT_OF_MEMORY), lost).adjustments == less


def test_no_attempt_starts_with_a_pod_template_made_invalid_after_acceptance() -> None:
    job = a_job(podTemplate={"spec": {"hostNetwork": True}}, status={"runId": "x"})
    attempt = an_attempt(1, Result.INTERRUPTED, start=NOW - seconds(900))

    before = decide(job, Observed(), NOW)
    between = decide(job, Observed(attempts=(attempt,)), NOW)
    under_way = decide(job, Observed(attempts=(an_attempt(),)), NOW)

    for decision, phase in ((before, Phase.PENDING), (between, Phase.RETRYING)):
        assert (decision.phase, decision.reason) == (phase, "InvalidSpec")
        assert "no attempt is started: spec.podTemplate.spec.hostNetwork" in decision.message
        assert decision.attempt_to_start is None
    assert under_way.phase is Phase.STARTING


def test_a_suspended_job_starts_nothing() -> None:
    assert rule_on(suspend=True).phase is Phase.SUSPENDED
    assert rule_on(ended(1, INTERRUPTED), suspend=True).attempt_to_start is None
    assert rule_on(an_attempt(1, Result.SUCCEEDED), suspend=True).phase is Phase.SUCCEEDED


def test_suspending_records_the_reason_first_and_then_deletes_the_job() -> None:
    decision = rule_on(an_attempt(1), suspend=True, started_pods=1)
    assert (decision.phase, decision.job_to_delete) == (Phase.RUNNING, None)
    assert decision.stop is not None
    assert decision.stop.reason == "Suspended"
    assert decision.check_again_in == seconds(0)

    stopping = an_attempt(1, is_stopping=True, failure=decision.stop)
    assert rule_on(stopping, suspend=True).job_to_delete == "balloon-1"
    assert rule_on(stopping, suspend=True, is_going=True).job_to_delete is None


def test_a_stopping_attempt_ends_even_if_the_reason_is_gone() -> None:
    stopping = an_attempt(1, is_stopping=True, failure=a_failure(Category.INTERRUPTION))

    assert rule_on(stopping, suspend=False).job_to_delete == "balloon-1"


def test_a_resumed_job_starts_its_next_attempt_at_once() -> None:
    suspended = a_failure(Category.INTERRUPTION, reason="Suspended")
    attempts = [replace(ended(n, INTERRUPTED), failure=suspended) for n in range(1, 9)]
    latest = replace(attempts[-1], number=9, end=NOW)

    assert rule_on(*attempts, latest).attempt_to_start == 10


def test_a_changed_spec_stops_the_running_attempt_and_starts_again_afterwards() -> None:
    running = rule_on(earlier=(an_attempt(1),))
    assert running.stop is not None
    assert running.stop.reason == "SpecChanged"

    assert rule_on(earlier=(ended(1, INTERRUPTED),)).attempt_to_start == 2
    assert rule_on(earlier=(an_attempt(4, Result.SUCCEEDED),)).attempt_to_start == 5
    assert rule_on(earlier=(ended(1, FAILED, Category.USER),)).attempt_to_start == 2


def test_a_failure_without_a_recorded_cause_ends_the_job_as_unexplained() -> None:
    edited = replace(ended(1, FAILED), failure=None)

    decision = rule_on(edited, max_attempts=1)

    assert decision.failure is not None
    assert (decision.failure.reason, decision.failure.category) == (
        "Unexplained",
        Category.INTERNAL,
    )


def test_failures_of_another_spec_are_not_counted() -> None:
    before = tuple(ended(number, FAILED) for number in (1, 2, 3))

    assert rule_on(ended(4, FAILED), earlier=before, max_attempts=2).attempt_to_start == 5


def test_a_job_that_exceeds_its_deadline_is_stopped_and_fails() -> None:
    late = {"started": LONG_AGO, "activeDeadlineSeconds": 600}

    running = rule_on(an_attempt(1), **late)
    assert running.stop is not None
    assert (running.stop.reason, running.stop.category) == ("DeadlineExceeded", Category.USER)

    between = rule_on(ended(1, FAILED), **late)
    assert (between.phase, between.reason) == (Phase.FAILED, "DeadlineExceeded")
    done = rule_on(an_attempt(1, Result.SUCCEEDED), **late)
    assert done.phase is Phase.SUCCEEDED


def test_a_deadline_is_enforced_without_any_event() -> None:
    decision = rule_on(
        an_attempt(1),
        started_pods=1,
        started=NOW - seconds(50),
        activeDeadlineSeconds=60,
    )

    assert decision.check_again_in == seconds(10)


def test_an_expired_deadline_is_not_checked_again_while_the_pods_save() -> None:
    limit = {"started": NOW - seconds(70), "activeDeadlineSeconds": 60}
    stop = rule_on(an_attempt(1), started_pods=1, **limit).stop

    saving = rule_on(replace(an_attempt(1), is_stopping=True, failure=stop), is_going=True, **limit)

    assert saving.check_again_in is None


def test_pods_that_do_not_start_in_time_fail_the_job_with_their_message() -> None:
    stop = rule_on(
        an_attempt(1),
        waiting_since=NOW - seconds(61),
        waiting_for="pod x is not scheduled: 0/3 nodes are available",
        startDeadlineSeconds=60,
    ).stop

    assert stop is not None
    assert (stop.reason, stop.category) == ("PodsNotStarted", Category.USER)
    assert "0 of 1 pods were running after 1m: pod x is not scheduled: 0/3 nodes" in stop.message


def test_a_queued_job_has_no_start_deadline() -> None:
    decision = rule_on(
        an_attempt(1), is_suspended=True, waiting_since=LONG_AGO, startDeadlineSeconds=60
    )

    assert (decision.phase, decision.stop) == (Phase.QUEUED, None)


def test_children_are_created_again_for_pods_that_wait_without_a_known_reason() -> None:
    waiting = {"waiting_since": NOW - seconds(120)}

    assert rule_on(an_attempt(1), **waiting).is_repaired
    assert not rule_on(an_attempt(1), **waiting, waiting_for="not scheduled").is_repaired
    assert not rule_on(an_attempt(1), waiting_since=NOW).is_repaired


def test_interruptions_are_always_retried_and_not_counted() -> None:
    attempts = [ended(number, INTERRUPTED) for number in range(1, 20)]

    decision = rule_on(*attempts, max_attempts=1)

    assert decision.attempt_to_start == 20


def test_a_retry_waits_for_its_backoff() -> None:
    attempt = an_attempt(1, FAILED, lasted=seconds(60))

    early = rule_on(attempt, now=NOW + seconds(63))
    due = rule_on(attempt, now=NOW + seconds(70))

    assert (early.phase, early.attempt_to_start) == (Phase.RETRYING, None)
    assert early.check_again_in == seconds(7)
    assert "attempt 2 starts at 2026-05-04T12:01:10Z" in early.message
    assert due.attempt_to_start == 2


def test_an_interrupted_attempt_is_not_reported_as_failed() -> None:
    attempts = [an_attempt(number, INTERRUPTED) for number in (1, 2)]

    assert "attempt 2 was interrupted" in rule_on(*attempts, now=NOW + seconds(61)).message


@pytest.mark.parametrize(
    ("attempts", "phase"),
    [
        pytest.param((), Phase.PENDING, id="of an earlier job"),
        pytest.param((ended(1, INTERRUPTED),), Phase.RETRYING, id="of an earlier attempt"),
    ],
)
def test_no_attempt_starts_while_pods_of_another_still_save(
    attempts: tuple[Attempt, ...], phase: Phase
) -> None:
    decision = rule_on(*attempts, lingering_pods=("old-pod",))

    assert (decision.phase, decision.attempt_to_start) == (phase, None)
    assert "old-pod" in decision.message


def test_a_final_failure_does_not_wait_for_other_pods() -> None:
    decision = rule_on(ended(1, FAILED, Category.USER), lingering_pods=("old-pod",))

    assert decision.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("seen", "phase", "words"),
    [
        pytest.param({"is_suspended": True}, Phase.QUEUED, "suspended", id="suspended"),
        pytest.param({"started_pods": 0}, Phase.STARTING, "0 of 1 pods are running", id="no pod"),
        pytest.param(
            {"started_pods": 0, "waiting_for": "pod x is not scheduled: 0/3 nodes"},
            Phase.STARTING,
            "0/3 nodes",
            id="a pod that can't",
        ),
        pytest.param({"started_pods": 1}, Phase.STARTING, "not reported yet", id="no report yet"),
        pytest.param(
            {
                "started_pods": 1,
                "trainer_phase": TrainerPhase.TRAINING,
                "silent_nodes": "node n is NotReady",
            },
            Phase.RUNNING,
            "node n is NotReady; the job continues when the node is back",
            id="its node is lost",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.FETCHING},
            Phase.STARTING,
            "fetching",
            id="fetching",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.CHECKING},
            Phase.STARTING,
            "checking",
            id="checking",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.TRAINING},
            Phase.RUNNING,
            "training",
            id="training",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.VERIFYING},
            Phase.PUBLISHING,
            "verified",
            id="verifying",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.PUBLISHING},
            Phase.PUBLISHING,
            "uploaded",
            id="publishing",
        ),
        pytest.param(
            {"started_pods": 0, "trainer_phase": TrainerPhase.TRAINING},
            Phase.STARTING,
            "0 of 1",
            id="a pod is being replaced",
        ),
    ],
)
def test_a_running_attempt_only_updates_the_status(
    seen: dict[str, Any], phase: Phase, words: str
) -> None:
    decision = rule_on(an_attempt(), **seen)

    assert (decision.phase, decision.attempt_to_start) == (phase, None)
    assert words in decision.message
    # Kueue's message about a waiting Job must be polled; all else is reported by events.
    assert (decision.check_again_in is not None) is (phase is Phase.QUEUED)


def test_a_lowered_limit_ends_a_job_between_two_attempts() -> None:
    attempt = an_attempt(1, FAILED, failure=a_failure())

    assert rule_on(attempt, max_attempts=1, now=NOW + seconds(61)).phase is Phase.FAILED


def test_a_success_is_reported_with_the_trainers_note() -> None:
    note = "stopped early at step 40: eval_loss has not improved for 3 evaluations"
    decision = decide(
        a_job(),
        Observed(
            attempts=(an_attempt(result=Result.SUCCEEDED),),
            outcome=a_good_outcome(step=40, total_steps=100, note=note),
        ),
        NOW,
    )

    assert decision.phase is Phase.SUCCEEDED
    assert decision.message == f"attempt 1 finished the run: {note}"


def test_a_failure_without_a_cause_is_counted() -> None:
    unexplained = replace(ended(1, FAILED), failure=None)

    assert rule_on(unexplained, max_attempts=2).attempt_to_start == 2
    assert rule_on(unexplained, max_attempts=1).phase is Phase.FAILED


def test_nothing_is_started_while_an_older_attempt_still_runs() -> None:
    assert rule_on(an_attempt(1), ended(2, FAILED)).attempt_to_start is None


def test_a_deadline_reached_between_attempts_is_the_jobs_failure() -> None:
    decision = rule_on(ended(1, FAILED), started=LONG_AGO, activeDeadlineSeconds=60)

    assert decision.phase is Phase.FAILED
    assert decision.failure is not None
    assert decision.failure.reason == "DeadlineExceeded"


def test_the_children_of_waiting_pods_are_checked_with_growing_intervals() -> None:
    def wait_after(waited: float) -> Any:
        return rule_on(an_attempt(1), waiting_since=NOW - seconds(waited)).check_again_in

    waits = [wait_after(waited) for waited in (-60, 0, 20, 40, 100, 86400)]
    assert waits == [seconds(wait) for wait in (20, 20, 20, 40, 100, 300)]
