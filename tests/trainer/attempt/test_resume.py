# SPDX-License-Identifier: Apache-2.0
"""A run that is stopped and resumed equals, figure for figure, an undisturbed run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.run import Run
from support.long_form import keeping
from trainer.in_process import Trained, a_run, carry_out_here
from trainer.interruptions import stopping_at

pytestmark = pytest.mark.slow

TIMINGS = ("runtime", "preparation_time", "per_second", "checkpoint_seconds", "flos")
"""Values that may differ: durations, and counts of only the last attempt."""

BUSY: Mapping[str, Any] = {
    "max_steps": 8,
    "gradient_accumulation_steps": 2,
    "lora_dropout": 0.2,
    "neftune_noise_alpha": 5.0,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 3,
    "eval_strategy": "steps",
    "eval_steps": 2,
}
"""All random features, over several epochs of four steps."""


def go_through(run: Run, place: Path, step: int, moment: str) -> Trained:
    """Stopped at this moment of this step, and resumed by a second attempt."""
    with stopping_at(step, moment):
        stopped = carry_out_here(run, place)
    assert stopped.outcome.failure is not None, stopped.outcome
    assert stopped.outcome.failure.reason == "Interrupted"
    assert stopped.outcome.checkpoint_step == step
    resumed = carry_out_here(replace(run, attempt=2), place)
    assert resumed.outcome.failure is None, resumed.words()
    assert resumed.outcome.resumed_from_step == step
    return resumed


def figures(trained: Trained) -> list[dict[str, Any]]:
    """Every record of every step, without values that depend on time."""
    return [
        {
            name: value
            for name, value in record.items()
            if not any(timing in name for timing in TIMINGS)
        }
        for record in trained.records()
        if "train_runtime" not in record
    ]


def weights(trained: Trained) -> bytes:
    return (trained.published / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("config", "step", "moment"),
    keeping(
        (
            "in an epoch's middle",
            "with the best step long gone by",
            "packed",
        ),
        [
            pytest.param({}, 2, "on_step_end", id="in an epoch's middle"),
            pytest.param({}, 3, "on_step_end", id="before an evaluation that is not due"),
            pytest.param({}, 4, "on_step_end", id="at an epoch's end"),
            pytest.param({}, 8, "on_step_end", id="at the last step"),
            pytest.param({}, 6, "on_prediction_step", id="during an evaluation"),
            pytest.param(
                {"eval_strategy": "epoch"}, 4, "on_prediction_step", id="evaluating an epoch"
            ),
            pytest.param(
                {"eval_strategy": "epoch", "logging_strategy": "epoch"},
                4,
                "on_step_end",
                id="at the end of an epoch that is evaluated",
            ),
            pytest.param({"logging_steps": 3}, 5, "on_step_end", id="between two records"),
            pytest.param(
                {
                    "save_strategy": "steps",
                    "save_steps": 2,
                    "save_total_limit": 1,
                    "load_best_model_at_end": True,
                    "metric_for_best_model": "eval_loss",
                    "greater_is_better": True,
                },
                6,
                "on_step_end",
                id="with the best step long gone by",
            ),
            pytest.param(
                {
                    "metric_for_best_model": "eval_loss",
                    "early_stopping_patience": 1,
                    "early_stopping_threshold": 99.0,
                },
                4,
                "on_prediction_step",
                id="in the evaluation that stops early",
            ),
            pytest.param({"packing": True, "max_length": 48}, 3, "on_step_end", id="packed"),
            pytest.param(
                {"train_sampling_strategy": "group_by_length"},
                6,
                "on_step_end",
                id="grouped by length",
            ),
            pytest.param({"dataloader_num_workers": 2}, 3, "on_step_end", id="two workers"),
            pytest.param({"dataset_streaming": True}, 3, "on_step_end", id="a stream's first pass"),
            pytest.param(
                {"dataset_streaming": True}, 6, "on_step_end", id="a stream's second pass"
            ),
        ],
    ),
)
def test_a_resumed_run_equals_the_uninterrupted_one_in_every_figure(
    tiny_model: Path,
    sayings: Path,
    tmp_path: Path,
    config: dict[str, Any],
    step: int,
    moment: str,
) -> None:
    settings = {**BUSY, **config}
    whole = carry_out_here(a_run(tmp_path / "a", tiny_model, sayings, **settings), tmp_path / "a")
    assert whole.outcome.failure is None, whole.words()

    resumed = go_through(
        a_run(tmp_path / "b", tiny_model, sayings, **settings), tmp_path / "b", step, moment
    )

    assert figures(resumed) == figures(whole)
    assert weights(resumed) == weights(whole)


def saved_steps(trained: Trained) -> list[int]:
    return sorted(int(path.name[-8:]) for path in trained.published.glob("checkpoints/step-*"))


@pytest.mark.parametrize(
    ("minutes", "is_saved"),
    [pytest.param(1e-6, True, id="long passed"), pytest.param(600, False, id="far off")],
)
def test_a_checkpoint_is_saved_when_it_is_due(
    tiny_model: Path, sayings: Path, tmp_path: Path, minutes: float, is_saved: bool
) -> None:
    trained = carry_out_here(
        a_run(tmp_path, tiny_model, sayings, max_steps=4, save_minutes=minutes), tmp_path
    )

    assert trained.outcome.failure is None, trained.words()
    assert bool(saved_steps(trained)) == is_saved


def test_the_time_that_saving_delayed_training_is_in_the_next_record(
    tiny_model: Path, sayings: Path, tmp_path: Path
) -> None:
    trained = carry_out_here(
        a_run(tmp_path, tiny_model, sayings, max_steps=4, save_strategy="steps", save_steps=2),
        tmp_path,
    )

    held_up = [record["step"] for record in trained.records() if "checkpoint_seconds" in record]
    assert held_up == [3, 4]


def test_a_stop_before_the_first_step_is_an_interruption(
    tiny_model: Path, sayings: Path, tmp_path: Path
) -> None:
    run = a_run(tmp_path, tiny_model, sayings, **{**BUSY, "eval_on_start": True})

    with stopping_at(0, "on_prediction_step"):
        stopped = carry_out_here(run, tmp_path)

    assert stopped.outcome.failure is not None
    assert stopped.outcome.failure.reason == "Interrupted"
    assert stopped.outcome.step == 0
