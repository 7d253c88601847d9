# SPDX-License-Identifier: Apache-2.0
"""One table for each rule; what stands higher in `RULES` has its rows here, too."""

from typing import Any

import pytest

from factories import NOW, a_failure, a_job, an_attempt, seconds
from finetune_contract.outcome import Blame
from finetune_contract.progress import TrainerPhase
from finetune_operator.attempts import Attempt, Result
from finetune_operator.decision import Decision, decide
from finetune_operator.naming import Phase
from finetune_operator.observation import Observed

FAILED, INTERRUPTED = Result.FAILED, Result.INTERRUPTED
LONG_AGO = NOW - seconds(3600)


def rule_on(*attempts: Attempt, now: Any = NOW, max_attempts: int = 3, **seen: Any) -> Decision:
    observed = Observed(**{"is_accepted": True, "attempts": attempts} | seen)
    return decide(a_job(retry={"maxAttempts": max_attempts}), observed, now)


def ended(number: int, result: Result, blame: Blame | None = None) -> Attempt:
    return an_attempt(number, result, start=LONG_AGO, blame=blame)


def test_nothing_is_started_before_the_status_says_accepted() -> None:
    decision = rule_on(is_accepted=False)

    assert (decision.phase, decision.attempt_to_start) == (Phase.PENDING, None)
    assert decision.check_again_in == seconds(0)


def test_accepted_job_gets_its_first_attempt() -> None:
    decision = rule_on()

    assert (decision.phase, decision.attempt_to_start) == (Phase.STARTING, 1)


def test_succeeded_attempt_ends_the_job() -> None:
    decision = rule_on(ended(1, FAILED), an_attempt(2, Result.SUCCEEDED))

    assert (decision.phase, decision.attempt_to_start) == (Phase.SUCCEEDED, None)


@pytest.mark.parametrize(
    "blame", [pytest.param(Blame.USER), pytest.param(Blame.OUT_OF_MEMORY)], ids=str
)
def test_what_would_fail_again_is_not_retried(blame: Blame) -> None:
    decision = rule_on(ended(1, FAILED, blame))

    assert (decision.phase, decision.attempt_to_start) == (Phase.FAILED, None)
    assert (decision.reason, decision.check_again_in) == ("StoreUnreachable", None)
    assert decision.message == "no answer. Remedy: wait"


@pytest.mark.parametrize(
    "blame", [pytest.param(Blame.INFRASTRUCTURE), pytest.param(Blame.INTERNAL)], ids=str
)
def test_nobodys_fault_is_retried_up_to_max_attempts(blame: Blame) -> None:
    one, two = ended(1, FAILED, blame), ended(2, FAILED, blame)

    assert rule_on(one, max_attempts=2).attempt_to_start == 2
    exhausted = rule_on(one, two, max_attempts=2)
    assert exhausted.phase is Phase.FAILED
    assert "(2 attempts failed)" in exhausted.message


def test_interruptions_are_always_retried_and_not_counted() -> None:
    attempts = [ended(number, INTERRUPTED) for number in range(1, 20)]

    decision = rule_on(*attempts, max_attempts=1)

    assert decision.attempt_to_start == 20


def test_retry_waits_for_its_time() -> None:
    attempt = an_attempt(1, FAILED, lasted=seconds(60))

    early = rule_on(attempt, now=NOW + seconds(63))
    due = rule_on(attempt, now=NOW + seconds(70))

    assert (early.phase, early.attempt_to_start) == (Phase.RETRYING, None)
    assert early.check_again_in == seconds(7)
    assert "attempt 2 starts at 2026-05-04T12:01:10Z" in early.message
    assert due.attempt_to_start == 2


def test_interrupted_is_not_called_failed() -> None:
    attempts = [an_attempt(number, INTERRUPTED) for number in (1, 2)]

    assert "attempt 2 was interrupted" in rule_on(*attempts, now=NOW + seconds(61)).message


@pytest.mark.parametrize(
    ("attempts", "phase"),
    [
        pytest.param((), Phase.PENDING, id="of an earlier job"),
        pytest.param((ended(1, INTERRUPTED),), Phase.RETRYING, id="of an earlier attempt"),
    ],
)
def test_no_attempt_starts_while_others_still_save(
    attempts: tuple[Attempt, ...], phase: Phase
) -> None:
    decision = rule_on(*attempts, lingering_pods=("old-pod",))

    assert (decision.phase, decision.attempt_to_start) == (phase, None)
    assert "old-pod" in decision.message


def test_failure_for_good_does_not_wait_for_others() -> None:
    decision = rule_on(ended(1, FAILED, Blame.USER), lingering_pods=("old-pod",))

    assert decision.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("seen", "phase", "words"),
    [
        pytest.param({"is_suspended": True}, Phase.PENDING, "suspended", id="suspended"),
        pytest.param({"started_pods": 0}, Phase.STARTING, "0 of 1 pods run", id="no pod yet"),
        pytest.param(
            {"started_pods": 0, "waiting_for": "pod x is not scheduled: 0/3 nodes"},
            Phase.STARTING,
            "0/3 nodes",
            id="a pod that can't",
        ),
        pytest.param({"started_pods": 1}, Phase.STARTING, "not reported yet", id="no report yet"),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.FETCHING},
            Phase.STARTING,
            "fetches",
            id="fetching",
        ),
        pytest.param(
            {"started_pods": 1, "trainer_phase": TrainerPhase.CHECKING},
            Phase.STARTING,
            "checks",
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
def test_running_attempt_is_told_and_nothing_else(
    seen: dict[str, Any], phase: Phase, words: str
) -> None:
    decision = rule_on(an_attempt(), **seen)

    assert (decision.phase, decision.attempt_to_start) == (phase, None)
    assert words in decision.message
    assert decision.check_again_in is None


def test_lowered_limit_ends_a_job_between_two_attempts() -> None:
    attempt = an_attempt(1, FAILED, failure=a_failure())

    assert rule_on(attempt, max_attempts=1, now=NOW + seconds(61)).phase is Phase.FAILED
