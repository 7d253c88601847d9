# SPDX-License-Identifier: Apache-2.0
"""One batch is computed before training begins: impossible runs cost minutes, and no retries."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from trainer.in_process import Trained, train
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow  # importing datasets and torch

EVALUATED = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "no"}


def failing(calls_before: int, then: Callable[..., Any]) -> Callable[..., Any]:
    """Like a library's function that fails after this many calls, in place of `then`."""
    calls = 0

    def function(*options: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > calls_before:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return then(*options, **named)

    return function


def told(trained: Trained) -> tuple[Category, str]:
    failure = trained.outcome.failure
    assert failure is not None
    return failure.category, failure.message


def test_a_model_that_cannot_be_computed_is_reported_before_the_base_model_is_evaluated(
    tmp_path: Path, dialogues: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaModel

    from finetune_trainer.ranks.evaluation.judging import Judge

    measured: list[object] = []
    monkeypatch.setattr(Judge, "answers_of_base", lambda *_, **__: measured.append(1) or [])
    monkeypatch.setattr(LlamaModel, "forward", failing(0, LlamaModel.forward))

    trained = train(tmp_path, a_model(tmp_path / "model"), dialogues, use_peft=False, lora_r=None)

    category, message = told(trained)
    assert category is Category.USER
    assert message == "while taking the first step: mat1 and mat2 shapes cannot be multiplied"
    assert measured == []


@pytest.mark.parametrize(
    ("calls_before", "category"),
    [
        pytest.param(0, Category.USER, id="in the first step"),
        pytest.param(1, Category.INTERNAL, id="in the second"),
    ],
)
def test_an_error_in_the_backward_pass_is_a_user_error_only_in_the_first_step(
    calls_before: int,
    category: Category,
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "backward", failing(calls_before, Accelerator.backward))

    trained = train(tmp_path, tiny_model, dialogues)

    assert told(trained)[0] is category


@pytest.mark.parametrize("config", [{}, EVALUATED, {"packing": True}], ids=str)
def test_the_trial_batch_changes_no_figure(
    config: dict[str, Any],
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from finetune_trainer.ranks import training

    tried = train(tmp_path / "tried", tiny_model, dialogues, lora_dropout=0.5, **config)
    monkeypatch.setattr(training, "try_a_batch", lambda trainer: None)
    untried = train(tmp_path / "untried", tiny_model, dialogues, lora_dropout=0.5, **config)

    assert len(tried.losses()) == 2
    assert _figures(tried) == _figures(untried)


def _figures(trained: Trained) -> list[dict[str, Any]]:
    """All figures that do not depend on time."""
    clocked = ("time", "runtime", "per_second")
    return [
        {key: it for key, it in record.items() if not any(word in key for word in clocked)}
        for record in trained.records()
    ]
