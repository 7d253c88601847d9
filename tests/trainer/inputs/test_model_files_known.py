# SPDX-License-Identifier: Apache-2.0
"""The facts of a model from its directory: weights, matrices, tokens, its tokenizer's format."""

from pathlib import Path

from finetune_trainer.inputs.model_facts import look_at_model
from support.model_folders import a_model, a_tokenizer, tensors_of, write_weights


def test_a_second_copy_of_the_weights_is_not_counted(tmp_path: Path) -> None:
    a_model(tmp_path)
    before = look_at_model(str(tmp_path), "main", {}).require_facts().parameters
    write_weights(tmp_path / "consolidated.safetensors", tensors_of())

    after = look_at_model(str(tmp_path), "main", {}).require_facts().parameters

    assert after == before == 2 * 1600 + 2 * (4 * 256 + 3 * 512 + 32) + 16


def test_matrices_and_added_tokens_are_identified_by_name(tmp_path: Path) -> None:
    a_tokenizer(a_model(tmp_path), **{"<call>": 100, "<pad>": 3})

    files = look_at_model(str(tmp_path), "main", {}).files

    assert files is not None
    assert "model.layers.1.mlp.up_proj" in files.modules
    assert "model.norm" not in files.modules
    assert files.added_tokens == {"<call>": 100, "<pad>": 3}
