# SPDX-License-Identifier: Apache-2.0
"""Early stopping and the best checkpoint, in one attempt and over several."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import Trained, a_run, carry_out_here, train
from trainer.interruptions import stopping_at

pytestmark = pytest.mark.slow

EVALUATED: dict[str, Any] = {
    "eval_strategy": "steps",
    "eval_steps": 1,
    "max_steps": 6,
    "save_strategy": "steps",
    "save_steps": 1,
    "eval_sample_max_tokens": 2,
}
IMPATIENT = {**EVALUATED, "early_stopping_patience": 3, "early_stopping_threshold": 50.0}
"""Never reached: the first evaluation counts, and three more are awaited."""

BY_COUNT = """
from pathlib import Path

QUALITIES = [0.1, 0.5, 0.9, 0.3, 0.2, 0.15, 0.12]

def score(prompts, answers, references):
    counter = Path(__file__).with_name("counter")
    count = int(counter.read_text()) if counter.exists() else 0
    counter.write_text(str(count + 1))
    return {"quality": QUALITIES[count]}
"""
"""Losses of the base model, then of step 1 and so on: the best is step 2. It keeps its count over
attempts.
"""

BEST = {
    **EVALUATED,
    "metric_fn": "judge.py:score",
    "metric_for_best_model": "quality",
    "load_best_model_at_end": True,
}


@pytest.fixture
def judged(tmp_path: Path, dialogues: Path) -> Path:
    folder = Path(shutil.copytree(dialogues, tmp_path / "data"))
    (folder / "judge.py").write_text(BY_COUNT)
    return folder


def figures(done: Trained) -> dict[str, float]:
    assert done.outcome.failure is None
    return dict(done.outcome.figures or {})


def weights(folder: Path) -> dict[str, list[float]]:
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    return {name: tensor.flatten().tolist() for name, tensor in tensors.items()}


def test_a_run_that_does_not_improve_ends_early_with_a_note(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **IMPATIENT)

    assert done.outcome.failure is None
    assert (done.outcome.step, done.outcome.total_steps) == (4, 6)
    assert done.outcome.adapter_verified
    assert done.outcome.note == (
        "stopped early at step 4: eval_loss has not improved for 3 evaluations"
    )
    assert len(done.losses()) == 4
    assert figures(done)["best_step"] == 4


def test_a_run_that_improves_is_not_stopped(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **{**IMPATIENT, "early_stopping_threshold": 0.0})

    assert (done.outcome.step, done.outcome.note) == (6, "")


def test_patience_survives_a_resume(tmp_path: Path, tiny_model: Path, dialogues: Path) -> None:
    run = a_run(tmp_path, tiny_model, dialogues, **IMPATIENT)
    with stopping_at(1, "on_step_begin"):
        stopped = carry_out_here(run, tmp_path)

    resumed = carry_out_here(replace(run, attempt=2), tmp_path)

    assert stopped.outcome.checkpoint_step == 2
    assert resumed.outcome.failure is None
    assert resumed.outcome.step == 4
    assert resumed.outcome.note.startswith("stopped early at step 4")


def test_the_best_checkpoint_is_published_and_not_the_last(
    tmp_path: Path, tiny_model: Path, judged: Path
) -> None:
    done = train(tmp_path, tiny_model, judged, **BEST)

    found = figures(done)
    assert (found["best_step"], found["best_metric"], found["eval_quality"]) == (2, 0.9, 0.9)
    published = weights(done.published / "adapter")
    assert published == weights(done.workspace.training / "checkpoint-2")
    assert published != weights(done.workspace.training / "checkpoint-6")
    at_best = next(r for r in done.records() if r["step"] == 2 and "eval_loss" in r)
    assert found["eval_loss"] == at_best["eval_loss"]


def test_the_best_checkpoint_survives_retention_and_an_interruption(
    tmp_path: Path, tiny_model: Path, judged: Path
) -> None:
    config = {**BEST, "save_total_limit": 1}
    whole = train(tmp_path / "whole", tiny_model, judged, **config)
    (judged / "counter").unlink()
    place = tmp_path / "interrupted"
    run = a_run(place, tiny_model, judged, **config)
    with stopping_at(3, "on_step_begin"):
        stopped = carry_out_here(run, place)

    resumed = carry_out_here(replace(run, attempt=2), place)

    assert stopped.outcome.checkpoint_step == 4
    assert resumed.outcome.resumed_from_step == 4
    assert figures(resumed)["best_step"] == 2
    assert resumed.outcome.note == ""
    assert weights(resumed.published / "adapter") == weights(whole.published / "adapter")


def test_a_lost_best_checkpoint_is_reported(tmp_path: Path, tiny_model: Path, judged: Path) -> None:
    run = a_run(tmp_path, tiny_model, judged, **BEST)
    with stopping_at(3, "on_step_begin"):
        stopped = carry_out_here(run, tmp_path)
    shutil.rmtree(stopped.published / "checkpoints" / "step-00000002")

    resumed = carry_out_here(replace(run, attempt=2), tmp_path)

    assert resumed.outcome.failure is None
    assert resumed.outcome.note == (
        "the best checkpoint, of step 2, was lost in an interruption; the published step is 6"
    )


def test_an_early_stop_publishes_the_best_checkpoint_too(
    tmp_path: Path, tiny_model: Path, judged: Path
) -> None:
    done = train(tmp_path, tiny_model, judged, **BEST, early_stopping_patience=2)

    assert done.outcome.failure is None
    assert done.outcome.step == 4
    assert done.outcome.note == (
        "stopped early at step 4: eval_quality has not improved for 2 evaluations"
    )
    assert weights(done.published / "adapter") == weights(done.workspace.training / "checkpoint-2")
