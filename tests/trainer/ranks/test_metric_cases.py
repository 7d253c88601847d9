# SPDX-License-Identifier: Apache-2.0
"""Metric functions of trlX's users, and held-out prompts without an answer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import Trained, train

pytestmark = pytest.mark.slow

TRAIN = [[f"Name boat {n}:", f" Seagull {n}"] for n in range(8)]
OF_TRLX = """
def metric_fn(samples, prompts, outputs):
    assert samples == [p + o for p, o in zip(prompts, outputs)]
    return {"good": [float("Seagull" in o) for o in outputs], "asked": float(len(prompts))}
"""


def judged(
    place: Path, model: Path, rows: Mapping[str, Sequence[Any]], code: str = OF_TRLX, **config: Any
) -> Trained:
    data = place / "data"
    data.mkdir()
    for name, lines in rows.items():
        (data / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (data / "metrics.py").write_text(code)
    settings = {
        "metric_fn": "metrics.py:metric_fn",
        "eval_strategy": "steps",
        "eval_steps": 1,
        "max_steps": 2,
        "learning_rate": 1e-5,
        "eval_sample_max_tokens": 4,
        **config,
    }
    return train(place, model, data, **settings)


def test_a_trlx_metric_evaluates_the_models_answers_and_not_the_data(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = {"train.jsonl": TRAIN, "test.jsonl": TRAIN[:1]}
    done = judged(tmp_path, tiny_model, rows, dataset_format="pairs")

    assert done.outcome.failure is None
    assert (done.outcome.figures or {})["eval_good"] == 0.0
    answers = json.loads((done.report / "samples.json").read_text())
    assert "Seagull" not in answers[0]["after"]


def test_unanswered_prompts_are_generated_and_evaluated_without_a_loss(
    tmp_path: Path, tiny_model: Path
) -> None:
    rows = {
        "train.jsonl": [{"prompt": asked, "completion": said} for asked, said in TRAIN],
        "test.jsonl": [{"prompt": "Name boat 9:"}, {"prompt": "Name boat 10:"}],
    }
    best = {"metric_for_best_model": "asked", "load_best_model_at_end": True}
    done = judged(
        tmp_path,
        tiny_model,
        rows,
        **best,
        save_strategy="steps",
        save_steps=1,
        greater_is_better=True,
    )

    assert done.outcome.failure is None
    figures = done.outcome.figures or {}
    assert (figures["eval_asked"], figures["best_metric"]) == (2.0, 2.0)
    assert "eval_loss" not in figures
    answers = json.loads((done.report / "samples.json").read_text())
    assert [(each["prompt"], each["expected"]) for each in answers] == [
        ("Name boat 9:", None),
        ("Name boat 10:", None),
    ]


def test_settings_that_require_answers_are_refused_before_the_model_is_loaded(
    tmp_path: Path, tiny_model: Path
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    rows = {
        "train.jsonl": [{"prompt": asked, "completion": said} for asked, said in TRAIN],
        "test.jsonl": [{"prompt": "Name boat 9:"}],
    }
    by_loss = judged(tmp_path / "a", tiny_model, rows, early_stopping_patience=1)
    by_reference = judged(
        tmp_path / "b", tiny_model, rows, "def metric_fn(answers, references): return {'a': 1}"
    )

    assert by_loss.words() == (
        "MetricNotFound: the best model is chosen by eval_loss, and the rows of test have no "
        "answers, which it requires | set metric_for_best_model to a name that metric_fn "
        "returns, or add the answers"
    )
    assert by_reference.words() == (
        "NothingToJudge: metric_fn is metrics.py:metric_fn, which requires the answers of the "
        "data, but the first 3 rows of test have none | add the answers, or leave that parameter "
        "out of the function"
    )
