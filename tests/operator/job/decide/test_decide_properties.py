# SPDX-License-Identifier: Apache-2.0
"""Properties of `decide` and `next_status` for all observations, including impossible ones."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import (
    Attempt,
    Result,
    next_start,
    parse_attempts,
    render_attempts,
)
from finetune_operator.job.decide.adjustments import adjustments_for_next
from finetune_operator.job.decide.decision import FINISHED, RULES, decide
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.spec import FineTuneJob
from finetune_operator.job.status.status import next_status
from finetune_operator.objects import conditions
from finetune_operator.objects.names import JobReason, Phase
from finetune_operator.objects.reconciled import status_patch
from support.factories import NOW, a_failure, a_job
from support.observations import histories, jobs, moments, observations
from support.resource_schema import SCHEMA, assert_fits

anything = given(job=jobs(), observed=observations(), now=moments())


@anything
def test_there_is_always_one_decision_by_the_first_matching_rule(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    found = [rule(job, observed, now) for rule in RULES]
    first = next(made for made in found if made is not None)
    same = {"check_again_in": first.check_again_in, "job_to_delete": first.job_to_delete}
    assert replace(decision, **same) == first
    held = observed.held.job_name if observed.held is not None else None
    assert decision.job_to_delete in (first.job_to_delete, held)
    assert decision.message
    assert decision.reason


@anything
def test_nothing_is_started_while_another_attempt_still_runs(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    if decision.attempt_to_start is not None:
        known = (*observed.earlier, *observed.attempts)
        assert all(attempt.end is not None for attempt in known)
        assert not observed.lingering_pods
        assert decision.attempt_to_start > max((it.number for it in known), default=0)
        assert decision.stop is None
        assert decision.job_to_delete in (None, "held-1")


@anything
def test_nothing_is_started_for_a_suspended_invalid_or_finished_job(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    if decision.attempt_to_start is not None:
        assert not job.is_suspended
        assert not job.mistakes
        assert not job.is_rejected
        assert decision.phase is Phase.STARTING
        assert all(attempt.result is not Result.SUCCEEDED for attempt in observed.attempts[-1:])


@anything
def test_only_a_running_attempt_is_ended_and_its_reason_is_recorded_first(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    running = observed.running
    held = observed.held.job_name if observed.held is not None else None
    if decision.job_to_delete not in (None, held):
        assert running is not None
        assert running.is_stopping
        assert decision.job_to_delete == running.name
    if decision.stop is not None:
        assert running is not None
        assert decision.job_to_delete is None
        assert decision.check_again_in == timedelta()


@anything
def test_the_next_check_is_never_in_the_past_nor_after_the_end(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    assert decision.check_again_in is None or decision.check_again_in >= timedelta()
    if decision.phase in FINISHED:
        assert decision.check_again_in is None
        assert not any((decision.attempt_to_start, decision.stop, decision.job_to_delete))


@anything
def test_status_decision_and_conditions_agree(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    status = next_status({}, job, observed, decision, now)

    found = status["conditions"]
    true = {condition["type"] for condition in found if condition["status"] == "True"}
    assert len({condition["type"] for condition in found}) == len(found)
    assert status["phase"] == decision.phase
    assert ("Complete" in true) == (decision.phase is Phase.SUCCEEDED)
    assert ("Failed" in true) == (decision.phase is Phase.FAILED)
    assert ("Suspended" in true) == (decision.phase is Phase.SUSPENDED)
    # kstatus: in progress, stuck and done exclude one another; Argo CD reads mere presence.
    assert len(true & {"Ready", "Reconciling", "Stalled"}) == (
        decision.phase is not Phase.SUSPENDED
    )
    is_wrong = job.is_rejected or decision.reason == JobReason.INVALID_SPEC
    assert ("Stalled" in true) == (decision.phase is Phase.FAILED or is_wrong)
    for terminal in ("Complete", "Failed", "Reconciling", "Stalled", "Suspended"):
        condition = conditions.find(found, terminal)
        assert condition is None or condition["status"] == "True"
    ready = conditions.require(found, "Ready")
    reason = JobReason.INVALID_SPEC if is_wrong else decision.reason
    assert (ready["reason"], ready["observedGeneration"]) == (reason, job.generation)
    if decision.phase is Phase.FAILED:
        assert status["failure"]["reason"] == decision.reason


@anything
def test_any_status_fits_the_schema(job: FineTuneJob, observed: Observed, now: datetime) -> None:
    decision = decide(job, observed, now)

    status = next_status({}, job, observed, decision, now)

    assert_fits(status, SCHEMA["status"])


@anything
def test_an_unchanged_situation_writes_nothing(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)
    first = next_status({}, job, observed, decision, now)

    again = next_status(first, job, observed, decision, now + timedelta(seconds=90))

    if decision.attempt_to_start is None:
        assert status_patch(first, again) == {}


@anything
def test_a_started_attempt_is_the_last_in_the_status(
    job: FineTuneJob, observed: Observed, now: datetime
) -> None:
    decision = decide(job, observed, now)

    status = next_status({}, job, observed, decision, now)

    numbers = [record["number"] for record in status.get("attempts", ())]
    assert numbers == sorted(set(numbers))
    assert status.get("attempt") == (numbers[-1] if numbers else None)
    if decision.attempt_to_start is not None:
        assert numbers[-1] == decision.attempt_to_start
        assert status["attempts"][-1]["result"] == "Running"


@given(history=histories(("", "a", "b")))
def test_attempts_in_a_status_are_read_back_unchanged(
    history: tuple[Attempt, ...],
) -> None:
    rendered = render_attempts(history)

    assert parse_attempts({"attempts": rendered}) == history


@given(history=histories(), limit=st.integers(1, 5))
def test_no_more_attempts_fail_than_allowed(history: tuple[Attempt, ...], limit: int) -> None:
    job = a_job(retry={"maxAttempts": limit})
    failed = [replace(attempt, result=Result.FAILED, end=NOW) for attempt in history]
    nobodys = a_failure(Category.INFRASTRUCTURE, reason="StoreUnreachable")
    failed[-1:] = [replace(attempt, failure=nobodys) for attempt in failed[-1:]]
    count = sum(not is_on_ladder(attempt) for attempt in failed)

    decision = decide(job, Observed(attempts=tuple(failed)), NOW)

    assert (decision.phase is Phase.FAILED) == (bool(failed) and count >= limit)


@given(job=jobs().filter(lambda job: not job.is_rejected))
def test_the_ladder_of_memory_adjustments_is_finite(job: FineTuneJob) -> None:
    steps: list[Attempt] = []
    seen: list[Any] = []
    while (adjustments := adjustments_for_next(job, steps)) is not None:
        assert adjustments not in seen
        assert len(seen) < 20
        seen.append(adjustments)
        steps.append(out_of_memory(len(seen), adjustments))

    decision = decide(job, Observed(attempts=tuple(steps)), NOW)

    assert decision.phase is Phase.FAILED


@given(history=histories(), now=moments())
def test_the_next_start_is_within_minutes_of_the_last_end(
    history: tuple[Attempt, ...], now: datetime
) -> None:
    start = next_start(history)

    if start is not None:
        end = history[-1].end
        assert end is not None
        assert timedelta() <= start - end <= timedelta(minutes=5)


def is_on_ladder(attempt: Attempt) -> bool:
    return attempt.failure is not None and attempt.failure.category is Category.OUT_OF_MEMORY


def out_of_memory(number: int, adjustments: Any) -> Attempt:
    return Attempt(
        number=number,
        name=f"balloon-{number}",
        start=NOW,
        end=NOW,
        result=Result.FAILED,
        failure=a_failure(Category.OUT_OF_MEMORY),
        adjustments=adjustments,
    )
