# SPDX-License-Identifier: Apache-2.0
"""The ladder for a GPU that is too small: each step gets the same result with less memory."""

from dataclasses import replace
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Attempt, Result
from finetune_operator.job.decide.adjustments import adjustments_for_next
from finetune_spec.config import read_config
from support.factories import CONFIG, a_job, an_attempt

BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"


def steps_of(**config: Any) -> list[dict[str, Any]]:
    """The settings of each next attempt, if every one ran out of memory."""
    job, attempts = a_job(config={**CONFIG, **config}), list[Attempt]()
    steps = []
    while (adjusted := adjustments_for_next(job, attempts)) is not None:
        steps.append(dict(adjusted))
        number = len(attempts) + 1
        attempts.append(
            an_attempt(number, Result.FAILED, category=Category.OUT_OF_MEMORY, adjustments=adjusted)
        )
        assert number < 30
    return steps


def test_the_effective_batch_size_stays_the_same_down_to_single_rows() -> None:
    steps = steps_of(per_device_train_batch_size=8, gradient_accumulation_steps=3)

    batches = [(step.get(BATCH, 8), step.get(ACCUMULATION, 3)) for step in steps]
    assert batches == [(8, 3), (4, 6), (2, 12), (1, 24)]


def test_an_odd_batch_size_is_reduced_to_single_rows_at_once() -> None:
    assert [step.get(BATCH) for step in steps_of(per_device_train_batch_size=6)] == [None, 3, 1]


@pytest.mark.parametrize("key", ["gradient_checkpointing", "activation_checkpointing"])
def test_the_last_step_enables_activation_checkpointing_in_the_users_spelling(key: str) -> None:
    steps = steps_of(per_device_train_batch_size=1, **{key: False})

    assert steps == [{}, {key: True}]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"activation_checkpointing": None}, id="by default"),
        pytest.param(
            {
                "fsdp": True,
                "activation_checkpointing": False,
                "fsdp_config": {"activation_checkpointing": True},
            },
            id="by FSDP's own switch, next to which TRL's would make the config wrong",
        ),
    ],
)
def test_no_attempt_is_spent_on_activation_checkpointing_that_is_already_enabled(
    config: dict[str, Any],
) -> None:
    assert steps_of(per_device_train_batch_size=1, **config) == [{}]


def test_a_batch_size_is_changed_in_the_users_spelling() -> None:
    (_, step, *_) = steps_of(per_gpu_train_batch_size=2)

    assert step["per_gpu_train_batch_size"] == 1
    assert BATCH not in step


def test_an_attempt_that_failed_for_another_reason_changes_nothing() -> None:
    failed = an_attempt(1, Result.FAILED, adjustments={BATCH: 2})

    assert adjustments_for_next(a_job(), [failed]) == {BATCH: 2}


@pytest.mark.parametrize("size", [pytest.param(size, id=repr(size)) for size in ("many", 2.5, 0)])
def test_a_batch_size_that_cannot_be_halved_ends_the_ladder(size: Any) -> None:
    """An older operator accepted such a config: it must not block the job forever."""
    job = replace(a_job(), config=read_config({**CONFIG, "per_device_train_batch_size": size}))

    assert (
        adjustments_for_next(job, [an_attempt(1, Result.FAILED, category=Category.OUT_OF_MEMORY)])
        is None
    )
