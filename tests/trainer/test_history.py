# SPDX-License-Identifier: Apache-2.0
"""What a log history says."""

import math

import pytest

from finetune_trainer.failures import AttemptFailed
from finetune_trainer.history import Record, figures_of, has_learned, losses_of, require_learning

HISTORY: list[Record] = [
    {"step": 1, "loss": 4.0, "grad_norm": 2.0},
    {"step": 2, "loss": math.nan},
    {"step": 2, "eval_loss": 3.5},
    {"step": 3, "loss": 1.0, "mean_token_accuracy": 0.5},
    {"step": 3, "train_runtime": 9.0},
]


def test_figures_are_the_last_finite_ones_with_the_first_loss() -> None:
    assert figures_of(HISTORY) == {
        "first_loss": 4.0,
        "loss": 1.0,
        "eval_loss": 3.5,
        "mean_token_accuracy": 0.5,
    }


def test_the_curve_leaves_out_what_is_not_finite() -> None:
    assert losses_of(HISTORY) == [(1, 4.0), (3, 1.0)]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        pytest.param([{"loss": 0.0, "grad_norm": 0.0}], False, id="all zero"),
        pytest.param([{"loss": 0.0, "grad_norm": math.nan}], False, id="no gradient at all"),
        pytest.param([{"loss": 0.0}, {"loss": 0.1}], True, id="one loss"),
        pytest.param([{"loss": 0.0, "grad_norm": 0.2}], True, id="one gradient"),
        pytest.param([], True, id="nothing logged proves nothing"),
    ],
)
def test_zero_all_along_means_that_nothing_was_learned(
    history: list[Record], expected: bool
) -> None:
    assert has_learned(history) is expected


def test_a_run_that_learned_nothing_is_the_users_to_change() -> None:
    with pytest.raises(AttemptFailed) as caught:
        require_learning([{"loss": 0.0}])

    assert caught.value.failure.reason == "NothingTrained"
