# SPDX-License-Identifier: Apache-2.0
"""A micro-batch that a trainer has chosen is recorded, and the next attempt uses it."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category, Outcome
from finetune_operator.job.attempts import Attempt, Result, parse_attempts, render_attempts
from finetune_operator.job.decide.adjustments import adjustments_for_next
from finetune_operator.job.known_adjustments import EVAL_BATCH
from finetune_operator.job.observe.chosen_batch import with_chosen_batch
from finetune_operator.job.observe.observation import Children, observe
from finetune_spec.memory.ladder import ACCUMULATION, BATCH
from support.factories import (
    CONFIG,
    NOW,
    a_bad_outcome,
    a_job,
    a_job_body,
    a_training_job,
    an_attempt,
    an_ended_pod,
)

AUTO = {**CONFIG, BATCH: "auto", ACCUMULATION: 16}
ENDED = an_attempt(1, Result.INTERRUPTED)
HALF = {BATCH: 4, ACCUMULATION: 4}


def seen(
    attempt: Attempt, *, outcome: int | None = None, progress: Any = None, **config: Any
) -> Attempt:
    return with_chosen_batch(
        attempt,
        a_job(config={**AUTO, **config}).config,
        {} if progress is None else {"attempt": 1, "microBatch": progress},
        None if outcome is None else Outcome(micro_batch=outcome),
    )


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"outcome": 8}, id="by its outcome"),
        pytest.param({"progress": 8}, id="by its progress, when the pod is lost"),
        pytest.param({"outcome": 8, "progress": 2}, id="the outcome wins over the progress"),
        pytest.param({"outcome": 0, "progress": 8}, id="an outcome without it"),
    ],
)
def test_the_chosen_batch_size_is_recorded_with_the_attempt(said: dict[str, Any]) -> None:
    assert seen(ENDED, **said).adjustments == {BATCH: 8, ACCUMULATION: 2}


@pytest.mark.parametrize(
    ("said", "config"),
    [
        pytest.param({}, {}, id="nothing reported yet"),
        pytest.param({"progress": 3}, {}, id="rows that divide no step"),
        pytest.param({"progress": -4}, {}, id="less than nothing"),
        pytest.param({"outcome": 32}, {}, id="more than a step has"),
        pytest.param({"outcome": 8}, {BATCH: 2}, id="the user's own number"),
    ],
)
def test_no_batch_size_is_recorded_for(said: dict[str, Any], config: dict[str, Any]) -> None:
    assert seen(ENDED, **said, **config).adjustments == {}


def test_a_running_attempt_has_the_adjustments_of_its_run_document() -> None:
    assert seen(an_attempt(), progress=8).adjustments == {}


def test_progress_of_another_attempt_is_ignored() -> None:
    assert seen(replace(ENDED, number=2), progress=8).adjustments == {}


def test_a_users_older_spelling_is_kept() -> None:
    config = {key: value for key, value in AUTO.items() if key != BATCH}
    job = a_job(config={**config, "per_gpu_train_batch_size": "auto"})

    found = with_chosen_batch(ENDED, job.config, {}, Outcome(micro_batch=4))

    assert found.adjustments == {"per_gpu_train_batch_size": 4, ACCUMULATION: 4}


def test_after_out_of_memory_the_next_attempt_has_half_the_batch_size() -> None:
    failed = an_attempt(1, Result.FAILED, category=Category.OUT_OF_MEMORY)
    attempt = seen(failed, outcome=8)

    found = adjustments_for_next(a_job(config=AUTO), [attempt])

    assert found is not None
    assert {key: value for key, value in found.items() if key != EVAL_BATCH} == HALF


def test_after_any_other_failure_the_next_attempt_has_the_same_batch_size() -> None:
    failed = an_attempt(1, Result.FAILED, category=Category.INFRASTRUCTURE)

    found = adjustments_for_next(a_job(config=AUTO), [seen(failed, outcome=8)])

    assert found == {BATCH: 8, ACCUMULATION: 2}


def test_the_ladder_ends_even_without_a_recorded_choice() -> None:
    """The operator then takes the next rung: the same one would fail again."""
    attempts = [an_attempt(1, Result.FAILED, category=Category.OUT_OF_MEMORY)]
    job = a_job(config={**AUTO, "activation_checkpointing": False})

    taken = []
    while (found := adjustments_for_next(job, attempts)) is not None:
        taken.append(found)
        attempts = [replace(attempts[0], adjustments=found)]
        assert len(taken) < 10

    assert taken == [{"activation_checkpointing": True}]


def test_an_automatic_batch_size_is_halved_for_the_next_attempt() -> None:
    """From the termination log of the pod to the next attempt's values."""
    outcome = replace(a_bad_outcome(Category.OUT_OF_MEMORY), micro_batch=8)
    children = Children(
        training_jobs=(a_training_job(ended="Failed", at=NOW),),
        pods=(an_ended_pod(77, message=outcome.to_json()),),
    )
    job, status = a_job(config=AUTO), {"runId": "0123456789", "attempts": []}

    observed = observe(job, a_job_body(config=AUTO, status=status), children, NOW)

    [attempt] = observed.attempts
    assert attempt.adjustments == {BATCH: 8, ACCUMULATION: 2}
    found = adjustments_for_next(job, parse_attempts({"attempts": render_attempts([attempt])}))
    assert found is not None
    assert found | HALF == found
