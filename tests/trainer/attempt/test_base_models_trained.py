# SPDX-License-Identifier: Apache-2.0
"""Base models that are refused, and that train after the remedy has been applied."""

import json
from pathlib import Path
from typing import Any

import pytest

from finetune_contract.outcome import Category
from trainer.in_process import train
from trainer.runs import a_folder
from trainer.tiny_models import a_model, a_tokenizer

pytestmark = pytest.mark.slow

CALL = "<|call|>"
MIXTURE: dict[str, Any] = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "head_dim": 8,
    "decoder_sparse_step": 1,
}


def rows(place: Path, word: str) -> Path:
    lines = [
        json.dumps({"prompt": f"Is there {what}?", "completion": f" {word} {what}"}) + "\n"
        for what in ("soup", "bread", "tea", "fish")
    ]
    return a_folder(place / "rows", {"train.jsonl": "".join(lines).encode()})


def with_more_tokens(place: Path) -> Path:
    """A model whose tokenizer has one token more than the embedding has rows."""
    a_model(place)
    a_tokenizer(place, CALL)
    return place


def test_data_with_a_token_without_an_embedding_row_are_a_user_error(tmp_path: Path) -> None:
    model = with_more_tokens(tmp_path / "model")

    trained = train(tmp_path, model, rows(tmp_path, CALL))

    failure = trained.outcome.failure
    assert failure is not None
    assert failure.category is Category.USER
    assert f"the data contains '{CALL}', for which the tokenizer has ids from 49152 on" in (
        trained.words()
    )
    assert "list these tokens in added_tokens" in trained.words()


@pytest.mark.parametrize(
    ("word", "config"),
    [
        pytest.param(CALL, {"added_tokens": [CALL]}, id="the token is added as in the remedy"),
        pytest.param("Yes,", {}, id="no text holds the token"),
    ],
)
def test_the_same_model_is_trained_if_each_token_has_a_row(
    tmp_path: Path, word: str, config: dict[str, Any]
) -> None:
    model = with_more_tokens(tmp_path / "model")

    trained = train(tmp_path, model, rows(tmp_path, word), **config)

    assert trained.outcome.failure is None


def test_a_mixture_of_experts_is_trained_without_lora_dropout(tmp_path: Path) -> None:
    model = a_model(tmp_path / "model", "qwen3_moe", **MIXTURE)
    data = rows(tmp_path, "Yes,")

    refused = train(tmp_path, model, data, lora_target_modules="all-linear")
    trained = train(
        tmp_path / "again", model, data, lora_target_modules="all-linear", lora_dropout=0
    )

    assert "lora_dropout: found 0.05" in refused.words()
    assert trained.outcome.failure is None


def test_an_architecture_without_default_targets_is_trained_with_all_linear(
    tmp_path: Path,
) -> None:
    model = a_model(tmp_path / "model", "granite")
    data = rows(tmp_path, "Yes,")

    refused = train(tmp_path, model, data)
    trained = train(tmp_path / "again", model, data, lora_target_modules="all-linear")

    assert (
        'no default targets for models of type "granite": set lora_target_modules: all-linear'
        in (refused.words())
    )
    assert trained.outcome.failure is None


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gpt2", "phi3", "gpt_neox", "mamba"])
def test_a_model_saved_by_transformers_is_accepted(tmp_path: Path, model_type: str) -> None:
    from finetune_spec.base_model.files import find_damage
    from finetune_trainer.inputs.model_facts import look_at_model

    folder = a_model(tmp_path / "model", model_type)

    seen = look_at_model(str(folder), "main", {})
    assert seen.files is not None
    assert seen.files.shapes
    assert find_damage(seen.files, seen.config) is None
