# SPDX-License-Identifier: Apache-2.0
"""`merge_adapter` in every architecture: the merged, saved and reloaded model computes the same as
base and adapter together, or the merge is refused with a message."""

from pathlib import Path

import pytest

from trainer.families.merged_adapters import Merged, remedied
from trainer.families.small import a_model
from trainer.families.test_packed_rows import TYPES
from trainer.families.tuned import UNMEASURED, WHOLE, measured_merge, read_table

pytestmark = pytest.mark.slow  # importing torch takes a quarter of a minute

FEW = ("gpt2", "qwen3_moe", "jamba", "gemma3")
"""Transposed matrices, experts that are one parameter, Mamba's layers, and files that use other
names for their tensors."""


@pytest.mark.parametrize("model_type", FEW)
def test_what_is_merged_computes_what_base_and_adapter_do(model_type: str, tmp_path: Path) -> None:
    said = read_table()[model_type]

    assert measured_merge(model_type, tmp_path) == (said.merged, said.needs, said.sentence)
    assert said.merged in (Merged.SAME, WHOLE)


@pytest.mark.long
@pytest.mark.parametrize("model_type", [each for each in TYPES if each not in FEW])
def test_every_architecture_merges_as_the_table_says(model_type: str, tmp_path: Path) -> None:
    said = read_table()[model_type]

    assert measured_merge(model_type, tmp_path) == (said.merged, said.needs, said.sentence)


def test_no_merge_of_any_architecture_computes_something_else_and_each_refusal_has_a_sentence() -> (
    None
):
    table = read_table()

    assert sorted(table) == TYPES
    assert {it.merged for it in table.values()} <= {
        *(Merged.SAME, Merged.REFUSED, WHOLE, UNMEASURED)
    }
    assert all(it.sentence for it in table.values() if it.merged in (Merged.REFUSED, WHOLE))


def test_a_remedy_that_does_not_help_is_no_remedy(tmp_path: Path) -> None:
    """The measurement follows the message that users read. An encoder has no such setting."""
    (tmp_path / "config.json").write_text('{"model_type": "t5", "is_encoder_decoder": true}')

    needs, sentence = remedied(tmp_path)

    assert needs == {}
    assert "sequence to sequence" in sentence


@pytest.mark.parametrize("model_type", ["laguna", "llama"])
def test_an_adapter_that_is_loaded_otherwise_than_it_was_saved_is_no_success(
    model_type: str, tmp_path: Path
) -> None:
    """transformers treats Laguna's own names as older ones, and PEFT loses their tensors."""
    from peft import LoraConfig, PeftModel, get_peft_model

    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.soundness import require_whole_adapter

    options = {"target_modules": ["q_proj", "down_proj"], "init_lora_weights": False}
    get_peft_model(a_model(model_type), LoraConfig(**options)).save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(a_model(model_type), tmp_path)

    if model_type == "llama":
        require_whole_adapter(tmp_path, loaded)
        return
    with pytest.raises(AttemptFailed) as caught:
        require_whole_adapter(tmp_path, loaded)
    assert "shared_experts.down_proj.lora_B.weight" in str(caught.value)
    assert "otherwise than it has saved them" in str(caught.value)
    assert caught.value.failure.remedy == "leave these matrices out of lora_target_modules"
