# SPDX-License-Identifier: Apache-2.0
"""Adapters of several kinds in place of a model, and how they are trained: each is made here, by
PEFT itself or by a run, and then continued or merged.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.long_form import keeping
from trainer.in_process import train
from trainer.lab import Lab
from trainer.published import load_adapter, load_model, load_tokenizer, tensors
from trainer.two_ranks import TwoRanks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CONTINUED: Mapping[str, Any] = {"adapter_as_model": "continue", "lora_r": None, "use_peft": None}


def made_by_peft(base: Path, place: Path, **options: Any) -> Path:
    """An adapter without a tokenizer, as PEFT saves it; its matrices B are drawn too."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=True, **options)
    tuned = get_peft_model(model, config)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weights in tuned.named_parameters():
            if "lora_B" in name:
                weights.copy_(torch.randn(weights.shape, generator=generator) * 0.02)
    tuned.save_pretrained(place)
    return place


def apart(one: Any, other: Any) -> float:
    import torch

    ids = torch.arange(1, 9).unsqueeze(0)
    with torch.no_grad():
        return float((one(input_ids=ids).logits - other(input_ids=ids).logits).abs().max())


@pytest.mark.parametrize(
    "options",
    keeping(
        ("a head that is trained too",),
        [
            pytest.param(
                {"r": 4, "target_modules": ["q_proj"], "rank_pattern": {"0.self_attn.q_proj": 2}},
                id="one target, ranks by pattern",
            ),
            pytest.param(
                {"r": 4, "target_modules": "all-linear", "modules_to_save": ["lm_head"]},
                id="a head that is trained too",
            ),
            pytest.param(
                {"r": 4, "target_modules": r".*\.(up|down)_proj", "use_rslora": True},
                id="an expression, rsLoRA",
            ),
            pytest.param(
                {"r": 4, "target_modules": ["q_proj", "v_proj"], "use_dora": True}, id="DoRA"
            ),
            pytest.param(
                {"r": 4, "target_modules": ["v_proj"], "layers_to_transform": [1]}, id="one layer"
            ),
            pytest.param(
                {"r": 4, "target_modules": ["v_proj"], "trainable_token_indices": [5, 6]},
                id="rows of tokens",
            ),
        ],
    ),
)
def test_every_tensor_of_a_continued_adapter_is_trained_from_its_value(
    options: dict[str, Any], tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    from safetensors.torch import load_file

    adapter = made_by_peft(tiny_model, tmp_path / "adapter", **options)

    done = train(tmp_path, adapter, dialogues, **CONTINUED, learning_rate=1e-5)

    assert done.outcome.failure is None, done.words()
    before = load_file(adapter / "adapter_model.safetensors")
    after = load_file(done.published / "adapter" / "adapter_model.safetensors")
    assert after.keys() == before.keys()
    moved = {name: float((after[name] - before[name]).abs().max()) for name in before}
    assert all(change < 1e-3 for change in moved.values()), moved
    assert any(change > 0 for change in moved.values())


@pytest.mark.parametrize("how", keeping(("merge",), ["continue", "merge"]))
def test_the_tokens_that_an_adapter_has_added_stay(
    how: str, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    (tmp_path / "first").mkdir()
    first = train(tmp_path / "first", tiny_model, dialogues, added_tokens=["<|tool|>"])
    adapter = first.published / "adapter"

    done = train(tmp_path, adapter, dialogues, **{**CONTINUED, "adapter_as_model": how})

    assert done.outcome.failure is None, done.words()
    assert "<|tool|>" in load_tokenizer(done).get_vocab()
    model = load_adapter(done, tiny_model) if how == "continue" else load_model(done).eval()
    assert 1e-6 < apart(model, load_adapter(first, tiny_model)) < 5


@pytest.mark.long
def test_an_adapter_is_continued_on_a_model_in_4_bits(tmp_path: Path, dialogues: Path) -> None:
    from trainer.tiny_models import a_model

    base = a_model(tmp_path / "base", hidden_size=64, intermediate_size=128)
    adapter = made_by_peft(base, tmp_path / "adapter", r=4, target_modules=["q_proj", "v_proj"])
    config = {**CONTINUED, "load_in_4bit": True, "dtype": "bfloat16"}

    done = train(tmp_path, adapter, dialogues, **config)

    assert done.outcome.failure is None, done.words()


@pytest.mark.parametrize("profile", keeping(("fsdp2",), ["ddp", "fsdp2", "zero2", "zero3"]))
def test_two_processes_continue_an_adapter_like_one(
    profile: str, ranks: TwoRanks, tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    options = {"r": 4, "target_modules": ["q_proj", "v_proj"]}
    adapter = made_by_peft(tiny_model, tmp_path / "adapter", **options)
    lab = Lab(ranks, tmp_path, adapter, dialogues)
    config = {**CONTINUED, "max_steps": 3, "lora_dropout": None}

    alone = lab.beside("alone").train(processes=1, **config)
    together = lab.beside("together").train(processes=2, **config, accelerate_config=profile)

    for done in (alone, together):
        assert done.outcome.failure is None, done.outcome
    assert together.losses() == pytest.approx(alone.losses(), rel=1e-3)
    found, expected = tensors(together), tensors(alone)
    assert found.keys() == expected.keys()
    assert _apart(found, expected) < 1e-3


def _apart(found: Mapping[str, Any], expected: Mapping[str, Any]) -> float:
    return max(float((found[name] - expected[name]).abs().max()) for name in expected)


def test_a_continued_adapter_that_did_not_change_is_no_success(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    """The warm-up's first step has a learning rate of zero."""
    options = {"r": 4, "target_modules": ["q_proj"]}
    adapter = made_by_peft(tiny_model, tmp_path / "adapter", **options)
    config = {"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 100, "max_steps": 1}

    done = train(tmp_path, adapter, dialogues, **CONTINUED, **config)

    assert done.words().startswith("NothingTrained: the weights are still those of the adapter")
