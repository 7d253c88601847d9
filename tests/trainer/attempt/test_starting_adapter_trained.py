# SPDX-License-Identifier: Apache-2.0
"""An adapter in place of a model is trained further, or merged first, exactly as a script of PEFT
and TRL would do it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from finetune_contract.notes import NoteReason
from finetune_spec.base_model.adapters import WEIGHTS
from trainer.cards import Copy, apart
from trainer.in_process import USUAL, Trained, a_run, carry_out_here, train
from trainer.interruptions import stopping_at
from trainer.published import load_adapter, load_model, tensors

pytestmark = pytest.mark.slow

STEPS = 4
COMPARED = ("loss", "grad_norm", "learning_rate", "num_tokens", "mean_token_accuracy", "entropy")
CONTINUED: dict[str, Any] = {"adapter_as_model": "continue", "lora_r": None, "use_peft": None}
WHOLE: dict[str, Any] = {"adapter_as_model": "merge", "lora_r": None, "use_peft": None}


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}):
        yield


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, dialogues: Path) -> Path:
    """A published adapter with dropout, of another rank than TRL's default."""
    place = tmp_path_factory.mktemp("first")
    done = train(place, tiny_model, dialogues, max_steps=3, lora_dropout=0.1)
    assert done.outcome.failure is None, done.words()
    return done.published / "adapter"


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory, first: Path, dialogues: Path) -> Trained:
    place = tmp_path_factory.mktemp("continued")
    config = {"max_steps": STEPS, "eval_strategy": "steps", "eval_steps": 2, **CONTINUED}
    done = train(place, first, dialogues, **config)
    assert done.outcome.failure is None, done.words()
    return done


def on_base(base: Path, adapter: Path, **options: Any) -> Any:
    from peft import PeftModel
    from trl.trainer.utils import create_model_from_path

    model = create_model_from_path(str(base), device_map=None, dtype="float32")
    return PeftModel.from_pretrained(model, adapter, **options)


def bare_trl(place: Path, model: Any, first: Path, data: Path, **config: Any) -> list[Any]:
    """The records of a script that trains this model."""
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    usual = {key: value for key, value in USUAL.items() if key not in ("use_peft", "lora_r")}
    settings = {**usual, "max_steps": STEPS, "logging_steps": 1, "report_to": "none", **config}
    arguments = SFTConfig(output_dir=str(place / "bare"), use_cpu=True, bf16=False, **settings)
    rows = load_dataset(str(data))
    try:
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=rows["train"],
            eval_dataset=rows["test"] if "eval_steps" in config else None,
            processing_class=AutoTokenizer.from_pretrained(first),
        )
        trainer.train()
    finally:
        for state in (AcceleratorState, GradientState, PartialState):
            state._reset_state()
    return list(trainer.state.log_history)


def compared(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: record[name] for name in COMPARED if name in record}
        for record in records
        if "loss" in record
    ]


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(1, 9).unsqueeze(0)).logits


def test_a_continued_adapter_trains_like_a_script_with_peft(
    continued: Trained, first: Path, tiny_model: Path, dialogues: Path, tmp_path: Path
) -> None:
    model = on_base(tiny_model, first, is_trainable=True)

    bare = bare_trl(tmp_path, model, first, dialogues, eval_strategy="steps", eval_steps=2)

    assert len(compared(bare)) == STEPS
    assert compared(continued.records()) == compared(bare)


def test_a_continued_adapter_is_an_adapter_for_the_same_base(
    continued: Trained, first: Path, tiny_model: Path
) -> None:
    published = continued.published / "adapter"
    before, after = (
        json.loads((folder / "adapter_config.json").read_text()) for folder in (first, published)
    )
    for options in (before, after):
        options["target_modules"].sort()

    assert after == before
    assert before["base_model_name_or_path"] == str(tiny_model)
    began = logits(on_base(tiny_model, first))
    assert (logits(load_adapter(continued, tiny_model)) - began).abs().max() > 1e-4


def test_card_and_report_name_the_adapter_and_its_digest(continued: Trained, first: Path) -> None:
    import hashlib

    digest = hashlib.sha256((first / WEIGHTS).read_bytes()).hexdigest()

    card = (continued.published / "adapter" / "README.md").read_text()
    versions = json.loads((continued.report / "versions.json").read_text())

    assert f"continued from the adapter `{first}` (sha256:{digest[:12]})" in card
    assert "eval loss with the adapter, before training" in card
    assert f"model_name_or_path: {first}" in card
    assert "lora_r" not in card
    assert versions["adapter"]["files"][WEIGHTS] == digest


def test_answers_before_the_training_are_those_of_the_adapter(
    continued: Trained, first: Path, tiny_model: Path
) -> None:
    from transformers import AutoTokenizer

    (sample,) = json.loads(continued.workspace.samples.read_text())
    tokenizer = AutoTokenizer.from_pretrained(first)
    turns = [{"role": "user", "content": sample["prompt"]}]
    asked = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    model = on_base(tiny_model, first).eval()
    answer = model.generate(**asked, max_new_tokens=8, do_sample=False)

    expected = tokenizer.decode(answer[0, asked["input_ids"].shape[1] :], skip_special_tokens=True)
    assert expected.strip()
    assert sample["before"].strip().startswith(expected.strip())


def test_a_complete_run_notes_that_the_adapter_has_changed(
    continued: Trained, first: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "adapter"
    shutil.copytree(first, changed)
    body = bytearray((first / WEIGHTS).read_bytes())
    body[-2] ^= 1
    (changed / WEIGHTS).write_bytes(bytes(body))
    config = {**continued.run.config, "model_name_or_path": str(changed)}

    again = carry_out_here(replace(continued.run, config=config), tmp_path)

    (note,) = [it for it in again.outcome.notes if it.reason == NoteReason.INPUTS_CHANGED]
    assert f"the adapter has changed since: {WEIGHTS} was sha256:" in note.message


def test_an_interrupted_run_continues_from_its_checkpoint_and_not_from_the_adapter(
    continued: Trained, first: Path, dialogues: Path, tmp_path: Path
) -> None:
    run = replace(a_run(tmp_path, first, dialogues), config=continued.run.config)
    with stopping_at(2, "on_step_end"):
        stopped = carry_out_here(run, tmp_path)

    resumed = carry_out_here(replace(run, attempt=2), tmp_path)

    assert stopped.outcome.checkpoint_step == 2
    assert resumed.outcome.failure is None, resumed.words()
    assert resumed.outcome.resumed_from_step == 2
    assert compared(resumed.records()) == compared(continued.records())
    found, expected = tensors(resumed), tensors(continued)
    assert found.keys() == expected.keys()
    assert all(found[name].equal(expected[name]) for name in expected)


def test_an_adapter_that_is_merged_first_can_be_trained_in_full(
    first: Path, tiny_model: Path, dialogues: Path, tmp_path: Path
) -> None:
    merged = on_base(tiny_model, first).merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    done = train(tmp_path, first, dialogues, **WHOLE, max_steps=STEPS, learning_rate=1e-3)
    assert done.outcome.failure is None, done.words()

    from trl.trainer.utils import create_model_from_path

    start = create_model_from_path(str(tmp_path / "merged"), device_map=None, dtype="float32")
    bare = bare_trl(tmp_path, start, first, dialogues, learning_rate=1e-3)

    assert compared(done.records()) == compared(bare)
    assert (logits(load_model(done)) - logits(on_base(tiny_model, first))).abs().max() > 1e-4
    card = (done.published / "model" / "README.md").read_text()
    assert f"with the adapter `{first}`" in card


@pytest.fixture(scope="module")
def on_merged(tmp_path_factory: pytest.TempPathFactory, first: Path, dialogues: Path) -> Trained:
    """A new adapter on the merged model, published together with the complete model."""
    place = tmp_path_factory.mktemp("on_merged")
    config = {"adapter_as_model": "merge", "merge_adapter": True, "max_steps": STEPS}
    done = train(place, first, dialogues, **config)
    assert done.outcome.failure is None, done.words()
    return done


def test_a_new_adapter_on_a_merged_one_is_published_as_a_complete_model(
    on_merged: Trained, first: Path, tiny_model: Path
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert [it for it in on_merged.outcome.notes if "not merged" in it.message] == []
    adapter, model = (on_merged.published / name for name in ("adapter", "model"))
    below = on_base(tiny_model, first).merge_and_unload()
    began = logits(below)
    both = logits(PeftModel.from_pretrained(below, adapter))
    alone = logits(AutoModelForCausalLM.from_pretrained(model))

    torch.testing.assert_close(alone, both, rtol=1e-4, atol=1e-4)
    assert (alone - began).abs().max() > 1e-4
    named = json.loads((adapter / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] is None


def test_a_complete_model_that_is_missing_is_made_without_training(
    on_merged: Trained, tmp_path: Path
) -> None:
    out = Path(on_merged.run.output_uri.removeprefix("file://"))
    shutil.copytree(out, tmp_path / "out")
    run = replace(on_merged.run, attempt=2, output_uri=(tmp_path / "out").as_uri())
    published = tmp_path / "out" / run.run_id
    model = (published / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(published / "model")
    (published / "merged.json").unlink()

    again = carry_out_here(run, tmp_path)

    assert again.outcome.failure is None, again.words()
    assert (published / "model" / "model.safetensors").read_bytes() == model


@pytest.mark.long
def test_the_code_of_the_cards_loads_each_artifact(
    continued: Trained, on_merged: Trained, tiny_model: Path, tmp_path: Path
) -> None:
    further = Copy(tmp_path / "further").download(continued.published)
    above = Copy(tmp_path / "above").download(on_merged.published)

    (adapter,) = further.run(further.cards()).values()
    found = above.run(above.cards())

    expected = logits(load_adapter(continued, tiny_model))[0].flatten().tolist()
    assert apart(adapter, expected) < 1e-5
    assert set(found) == {"adapter", "model"}
    assert apart(found["adapter"], found["model"]) < 1e-4
    assert apart(found["adapter"], adapter) > 1e-4
