# SPDX-License-Identifier: Apache-2.0
"""The trained weights: full models, and all kinds of adapters that TRL's keys describe."""

import math
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import train
from trainer.published import (
    load_adapter,
    load_model,
    load_tokenizer,
    require_learned,
    tensors,
    tensors_of,
)
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow


def test_a_full_model_is_trained_and_published(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, use_peft=False)

    require_learned(load_model(trained), tiny_model, load_tokenizer(trained))
    published, before = tensors(trained), tensors_of(tiny_model)
    assert published.keys() == before.keys()
    assert not [name for name in before if published[name].equal(before[name])]


@pytest.mark.parametrize(
    ("targets", "adapted", "layers"),
    [
        pytest.param(
            "all-linear",
            {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
            {"0", "1"},
            id="every matrix",
        ),
        pytest.param(["q_proj", "down_proj"], {"q_proj", "down_proj"}, {"0", "1"}, id="a list"),
        pytest.param(
            r".*\.1\.mlp\.(up|down)_proj", {"up_proj", "down_proj"}, {"1"}, id="a pattern"
        ),
        pytest.param(None, {"q_proj", "v_proj"}, {"0", "1"}, id="those that PEFT has for a Llama"),
    ],
)
def test_an_adapter_is_applied_to_the_named_modules(
    tmp_path: Path,
    tiny_model: Path,
    dialogues: Path,
    targets: Any,
    adapted: set[str],
    layers: set[str],
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, lora_target_modules=targets)

    require_learned(load_adapter(trained, tiny_model), tiny_model, load_tokenizer(trained))
    names = {name.rpartition(".lora_")[0] for name in tensors(trained)}
    assert {name.rpartition(".")[2] for name in names} == adapted
    assert {name.split(".")[2] for name in names} == layers


def test_a_module_in_lora_modules_to_save_is_trained_fully(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, lora_modules_to_save=["lm_head"])

    model = load_adapter(trained, tiny_model)
    require_learned(model, tiny_model, load_tokenizer(trained))
    head = tensors(trained)["lm_head.weight"]
    assert head.equal(model.get_output_embeddings().weight)
    assert not head.equal(tensors_of(tiny_model)["lm_head.weight"])


def test_dora_trains_a_magnitude_for_every_row(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, use_dora=True)

    require_learned(load_adapter(trained, tiny_model), tiny_model, load_tokenizer(trained))
    magnitudes = {name: tensor for name, tensor in tensors(trained).items() if "magnitude" in name}
    before = tensors_of(tiny_model)
    assert len(magnitudes) == 4
    for name, magnitude in magnitudes.items():
        weight = before[name.replace(".lora_magnitude_vector", ".weight")]
        assert not magnitude.equal(weight.norm(dim=1))


@pytest.mark.parametrize(
    ("use_rslora", "scaling"),
    [pytest.param(True, 32 / math.sqrt(4), id="on"), pytest.param(False, 32 / 4, id="off")],
)
def test_rslora_scales_by_the_square_root_of_the_rank(
    tmp_path: Path, tiny_model: Path, dialogues: Path, use_rslora: bool, scaling: float
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, use_rslora=use_rslora, learning_rate=1e-3)

    model = load_adapter(trained, tiny_model)
    require_learned(model, tiny_model, load_tokenizer(trained))
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    assert layer.scaling["default"] == scaling


def test_the_experts_of_a_mixture_get_adapters(tmp_path: Path, dialogues: Path) -> None:
    sizes = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
    model = a_model(tmp_path / "experts", "qwen3_moe", **sizes)

    trained = train(
        tmp_path,
        model,
        dialogues,
        lora_target_modules=["q_proj", "v_proj"],
        lora_target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
        lora_dropout=0,
    )

    require_learned(load_adapter(trained, model), model, load_tokenizer(trained))
    adapted = {name.rpartition(".lora_")[0] for name in tensors(trained)}
    assert len([name for name in adapted if "mlp.experts" in name]) == 4
