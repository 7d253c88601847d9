# SPDX-License-Identifier: Apache-2.0
"""Evaluations: their figures, the base model's before the first step, answers at each of them."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import Trained, a_run, carry_out_here, train
from trainer.interruptions import stopping_at

pytestmark = pytest.mark.slow

EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 4}
FULL: dict[str, Any] = {"use_peft": None, "lora_r": None}


def evaluations(done: Trained) -> list[dict[str, Any]]:
    return [record for record in done.records() if "eval_loss" in record]


def figures(done: Trained) -> dict[str, float]:
    assert done.outcome.failure is None
    return dict(done.outcome.figures or {})


def samples(done: Trained) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((done.report / "samples.json").read_text())
    return found


def test_the_figures_of_an_evaluation_reach_records_outcome_and_progress(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **EVALUATED)

    found, records = figures(done), evaluations(done)
    assert [record["step"] for record in records] == [0, 2, 4]
    assert found["base_eval_loss"] == records[0]["eval_loss"]
    assert found["eval_loss"] == records[-1]["eval_loss"] < found["base_eval_loss"]
    for name in ("eval_mean_token_accuracy", "eval_entropy"):
        assert found[name] == records[-1][name]
    assert "entropy" in found
    progress = json.loads(done.workspace.progress.read_text())["progress"]
    assert progress["baseEvalLoss"] == found["base_eval_loss"]
    assert progress["metrics"]["eval_entropy"] == found["eval_entropy"]


def test_evaluating_the_base_model_does_not_change_training(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    config = {**EVALUATED, "lora_dropout": 0.1}

    measured = train(tmp_path / "measured", tiny_model, dialogues, **config)
    not_measured = train(tmp_path / "not", tiny_model, dialogues, **config, eval_on_start=False)

    assert measured.losses() == not_measured.losses()
    assert "base_eval_loss" in figures(measured)
    assert "base_eval_loss" not in figures(not_measured)
    assert evaluations(measured)[1:] != []
    same = [
        [record["eval_loss"] for record in evaluations(run)] for run in (measured, not_measured)
    ]
    assert same[0][1:] == same[1]


def test_the_base_models_loss_is_the_same_with_an_untrained_adapter(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    adapter = train(tmp_path / "adapter", tiny_model, dialogues, **EVALUATED)
    full = train(tmp_path / "full", tiny_model, dialogues, **EVALUATED, **FULL)

    assert figures(adapter)["base_eval_loss"] == pytest.approx(figures(full)["base_eval_loss"])


def test_nothing_is_evaluated_without_an_eval_strategy(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues)

    assert not [name for name in figures(done) if "eval" in name]
    assert samples(done)[0]["during"] == []


def test_a_resumed_run_restores_the_base_models_loss_and_earlier_answers(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    config = {**EVALUATED, "save_strategy": "steps", "save_steps": 100}
    run = a_run(tmp_path, tiny_model, dialogues, **config)
    with stopping_at(2, "on_step_begin"):
        stopped = carry_out_here(run, tmp_path)

    resumed = carry_out_here(replace(run, attempt=2), tmp_path)

    assert stopped.outcome.failure is not None
    assert resumed.outcome.resumed_from_step == 3
    records = evaluations(resumed)
    assert [record["step"] for record in records] == [0, 2, 4]
    assert figures(resumed)["base_eval_loss"] == records[0]["eval_loss"]
    assert [answer["step"] for answer in samples(resumed)[0]["during"]] == [2, 4]


@pytest.mark.parametrize("config", [{}, FULL], ids=["adapter", "full"])
def test_held_out_prompts_are_answered_before_during_and_after_training(
    tmp_path: Path, tiny_model: Path, dialogues: Path, config: dict[str, Any]
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **EVALUATED, **config, eval_sample_max_tokens=4)

    (sample,) = samples(done)
    assert sample["prompt"] == "When do you open?"
    assert sample["expected"].startswith("We cast off")
    assert sample["before"] != sample["after"]
    assert [answer["step"] for answer in sample["during"]] == [2, 4]
    assert sample["during"][-1]["answer"] == sample["after"]


def test_no_samples_are_generated_unless_requested(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **EVALUATED, num_eval_samples=0)

    assert figures(done)
    assert samples(done) == []


def test_answers_that_take_too_long_are_omitted_with_a_log_line(
    tmp_path: Path, tiny_model: Path, dialogues: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = train(tmp_path, tiny_model, dialogues, **EVALUATED, eval_sample_seconds=0)

    assert figures(done)
    (sample,) = samples(done)
    assert (sample["before"], sample["after"], sample["during"]) == (None, None, [])
    assert "answers left out: 1 of 1" in caplog.text


def test_generating_answers_changes_neither_random_states_nor_modes(tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from finetune_trainer.ranks.evaluation.samples import Budget, Prompt, answers

    model = AutoModelForCausalLM.from_pretrained(tiny_model).train()
    model.model.norm.eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    before = torch.random.get_rng_state()

    prompts = [Prompt(content=text, expected="") for text in ("Hello", "When do you open?")]
    found = answers(model, tokenizer, prompts, Budget(max_tokens=3, batch_size=1))

    assert torch.equal(torch.random.get_rng_state(), before)
    assert model.training
    assert not model.model.norm.training
    assert all(answer is not None for answer in found)
    together = answers(model, tokenizer, prompts, Budget(max_tokens=3, batch_size=2))
    assert together == found


def test_answers_of_many_evaluations_are_kept_evenly() -> None:
    from finetune_trainer.ranks.evaluation.answer_book import MAX_STEPS, AnswerBook
    from finetune_trainer.ranks.evaluation.samples import Prompt

    book = AnswerBook()
    for step in range(1, 1001):
        book.note(step, [str(step)])

    (entry,) = book.document([Prompt(content="?", expected="!")], [], [])
    steps = [answer["step"] for answer in entry["during"]]
    assert len(steps) == MAX_STEPS
    assert (steps[0], steps[-1]) == (1, 1000)
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    assert max(gaps) <= 200


def test_fsdp_1_models_do_not_answer_during_training_and_this_is_logged(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    from types import SimpleNamespace

    from finetune_trainer.ranks.arguments.evaluation import EvaluationArguments
    from finetune_trainer.ranks.callbacks.boundary import StepBoundary
    from finetune_trainer.ranks.data.loading import Loaded
    from finetune_trainer.ranks.evaluation.judging import build_judge

    def build(**training: Any) -> str:
        caplog.clear()
        usual = {"fsdp": "", "deepspeed_plugin": None, "eval_strategy": "no", "process_index": 0}
        usual |= {"world_size": 2}
        arguments: Any = SimpleNamespace(
            evaluation=EvaluationArguments(),
            script=SimpleNamespace(dataset_test_split="test"),
            training=SimpleNamespace(**usual | training, per_device_eval_batch_size=1),
        )
        rows: Any = {"test": [{"prompt": "When?", "completion": "At 7."}]}
        build_judge(
            arguments, Loaded(dataset=rows), StepBoundary(tmp_path / "stop"), tmp_path / "stop"
        )
        return caplog.text

    version_1 = {"fsdp": "full_shard", "fsdp_plugin_args": {"fsdp_version": 1}}
    version_2 = {"fsdp": "full_shard", "fsdp_plugin_args": {"fsdp_version": 2}}
    assert "held-out prompts are not answered during training" in build(**version_1)
    assert build(**version_1, process_index=1) == build(**version_2) == build() == ""
