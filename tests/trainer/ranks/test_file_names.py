# SPDX-License-Identifier: Apache-2.0
"""The names of weights in a model's files are found as transformers finds them."""

from pathlib import Path
from typing import Any

import pytest

from trainer.families.small import a_model

pytestmark = pytest.mark.slow  # importing torch takes a quarter of a minute


def saved(model: Any, place: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    model.save_pretrained(place)
    return load_file(place / "model.safetensors")


@pytest.mark.parametrize("model_type", ["llama", "gemma3"])
def test_each_weight_is_found_under_the_name_that_its_file_has(
    tmp_path: Path, model_type: str
) -> None:
    import torch

    from finetune_trainer.ranks.file_names import file_names

    model = a_model(model_type)
    in_files = saved(model, tmp_path)
    own = dict(model.named_parameters())

    found = file_names(model, in_files)

    assert own.keys() - found.keys() <= {"lm_head.weight"}  # it may be the embedding
    assert all(torch.equal(own[name], in_files[file]) for name, file in found.items())
    assert (set(found) == set(found.values())) is (model_type == "llama")


def test_a_weight_that_is_put_together_from_several_has_no_name(tmp_path: Path) -> None:
    from finetune_trainer.ranks.file_names import file_names

    model = a_model("qwen3_moe")
    in_files = saved(model, tmp_path)

    found = file_names(model, in_files)

    assert any(name.endswith("experts.0.gate_proj.weight") for name in in_files)
    assert not any("experts" in name for name in found)
    assert "model.layers.0.self_attn.q_proj.weight" in found


def test_a_name_that_two_tensors_would_have_is_neithers() -> None:
    from finetune_trainer.ranks.file_names import file_names

    name = "model.layers.0.self_attn.q_proj.weight"

    found = file_names(a_model("llama"), [name, name.removeprefix("model."), "model.norm.weight"])

    assert found == {"model.norm.weight": "model.norm.weight"}
