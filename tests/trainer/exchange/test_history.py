# SPDX-License-Identifier: Apache-2.0
"""The evaluation of a log history."""

import math
from collections.abc import Callable

import pytest

from finetune_trainer.exchange.history import (
    Record,
    figures_of,
    losses_of,
    require_finite_gradients,
    require_learning,
)
from finetune_trainer.failures.errors import AttemptFailed

HISTORY: list[Record] = [
    {"step": 1, "loss": 4.0, "grad_norm": 2.0},
    {"step": 2, "loss": math.nan},
    {"step": 2, "eval_loss": 3.5},
    {"step": 3, "loss": 1.0, "mean_token_accuracy": 0.5},
    {"step": 3, "train_runtime": 9.0},
]


def test_figures_are_the_last_finite_values_and_the_first_loss() -> None:
    assert figures_of(HISTORY) == {
        "first_loss": 4.0,
        "loss": 1.0,
        "eval_loss": 3.5,
        "mean_token_accuracy": 0.5,
    }


def test_the_curve_omits_values_that_are_not_finite() -> None:
    assert losses_of(HISTORY) == [(1, 4.0), (3, 1.0)]


@pytest.mark.parametrize(
    ("history", "reason"),
    [
        pytest.param([{"loss": 0.0, "grad_norm": 0.0}], "NothingTrained", id="all zero"),
        pytest.param([{"loss": 0.0}], "NothingTrained", id="no loss"),
        pytest.param([{"loss": 0.0, "grad_norm": math.nan}], "NotFinite", id="no number"),
        pytest.param([{"loss": 0.0}, {"loss": 0.1}], None, id="one loss"),
        pytest.param([{"loss": 0.0, "grad_norm": 0.2}], None, id="one gradient"),
        pytest.param([], None, id="nothing logged proves nothing"),
    ],
)
def test_a_run_that_learned_nothing_is_a_user_error(
    history: list[Record], reason: str | None
) -> None:
    assert reason_of(require_learning, history) == reason


@pytest.mark.parametrize(
    ("norms", "reason"),
    [
        pytest.param([1.0] * 5 + [math.nan] * 10, "NotFinite", id="diverged"),
        pytest.param([math.inf] * 9 + [1.0] * 9, None, id="fp16 finds its scale"),
        pytest.param([math.nan] * 9, None, id="not for long enough"),
        pytest.param([], None, id="nothing logged proves nothing"),
    ],
)
def test_training_that_has_diverged_is_stopped(norms: list[float], reason: str | None) -> None:
    history = [{"step": step, "grad_norm": norm} for step, norm in enumerate(norms, 1)]

    assert reason_of(require_finite_gradients, history) == reason


def reason_of(check: Callable[[list[Record]], None], history: list[Record]) -> str | None:
    try:
        check(history)
    except AttemptFailed as error:
        return error.failure.reason
    return None
