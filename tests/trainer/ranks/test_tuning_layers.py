# SPDX-License-Identifier: Apache-2.0
"""`num_layers_unfrozen`: only the last layers are trained, and the rest does not change."""

from pathlib import Path
from typing import Any

import pytest

from finetune_trainer.failures.errors import AttemptFailed
from trainer.in_process import train
from trainer.published import (
    load_model,
    load_tokenizer,
    require_learned,
    tensors,
    tensors_of,
)
from trainer.tiny_models import a_model

pytestmark = pytest.mark.slow

OTHERS = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2},
    "opt": {"word_embed_proj_dim": 16, "ffn_dim": 32},
    "gpt_neox": {},
    "phi": {},
    "gemma3_text": {"head_dim": 8},
    "bloom": {"n_layer": 2, "n_head": 2},
}


def is_behind(name: str, *, is_tied: bool) -> bool:
    """Whether it comes after the first of two layers, by a Llama's names."""
    behind = (
        ("model.layers.1.", "model.norm.")
        if is_tied
        else (
            "model.layers.1.",
            "model.norm.",
            "lm_head.",
        )
    )
    return name.startswith(behind)


@pytest.mark.parametrize("is_tied", [False, True], ids=["a head of its own", "a tied head"])
def test_frozen_weights_equal_the_base_models_bit_for_bit(
    tmp_path: Path, dialogues: Path, is_tied: bool
) -> None:
    model = a_model(tmp_path / "model", tie_word_embeddings=is_tied)

    trained = train(tmp_path, model, dialogues, use_peft=False, num_layers_unfrozen=1)

    require_learned(load_model(trained), model, load_tokenizer(trained))
    published, before = tensors(trained), tensors_of(model)
    moved = {name for name in before if not published[name].equal(before[name])}
    assert moved == {name for name in before if is_behind(name, is_tied=is_tied)}


def test_more_layers_than_the_model_has_are_refused_before_training(
    tmp_path: Path, tiny_model: Path, dialogues: Path
) -> None:
    trained = train(tmp_path, tiny_model, dialogues, use_peft=False, num_layers_unfrozen=3)

    assert trained.words() == (
        "InvalidConfig: num_layers_unfrozen: found 3, expected at most 2, the layers of the model "
        "| change num_layers_unfrozen as the message describes; finetune validate checks the file "
        "without a cluster"
    )


@pytest.mark.parametrize("model_type", OTHERS)
def test_the_last_layer_is_found_in_other_architectures(tmp_path: Path, model_type: str) -> None:
    from finetune_trainer.ranks.model.freezing import freeze_all_but_last, is_tied

    model: Any = loaded(a_model(tmp_path, model_type, **OTHERS[model_type]))
    freeze_all_but_last(model, 1)

    learning = {name for name, weight in model.named_parameters() if weight.requires_grad}
    layer = {name for name in learning if ".1." in name}
    assert layer == {name for name, _ in model.named_parameters() if ".1." in name}
    rest = learning - layer
    assert {name for name in rest if "norm" in name or "ln_f" in name}
    head = {name for name in rest if name.startswith(("lm_head", "embed_out"))}
    assert bool(head) is not is_tied(model)
    assert not {name for name in rest - head if "emb" in name or "wte" in name}


def test_the_layers_of_a_hub_model_are_checked_after_loading(tiny_model: Path) -> None:
    """Its config.json is not available when the config is checked."""
    from finetune_trainer.ranks.model.freezing import freeze_all_but_last

    with pytest.raises(AttemptFailed, match="found 3, expected at most 2, the layers of the model"):
        freeze_all_but_last(loaded(tiny_model), 3)


def loaded(model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model)
