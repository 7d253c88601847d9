# SPDX-License-Identifier: Apache-2.0
"""Remedies for a config that a library refuses: the keys to change."""

import pytest

from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage

OF_PEFT = (
    "Target modules {'q_prj'} not found in the base model. Please check the target modules and try "
    "again."
)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        pytest.param(
            ValueError("Specified `attn_implementation='flash_attention_9'` is not supported."),
            "change attn_implementation as described in the message, or leave it out",
            id="a key in quotes",
        ),
        pytest.param(
            ValueError("--load_best_model_at_end requires the save and eval strategy to match"),
            "change load_best_model_at_end as described in the message, or leave it out",
            id="an option",
        ),
        pytest.param(
            ValueError("fp16 and bf16 mixed precision: per_device_eval_batch_size, eval_steps"),
            "change per_device_eval_batch_size and eval_steps as described in the message, or "
            "leave them",
            id="several keys",
        ),
        pytest.param(ValueError(OF_PEFT), "set lora_target_modules: all-linear", id="PEFT's"),
        pytest.param(
            ImportError("You need to `pip install sentencepiece`: it is not installed"),
            "set spec.image to an image that has the package too",
            id="a package",
        ),
        pytest.param(
            TypeError("Conversation roles must alternate user/assistant/user/..."),
            "set chat_template_path to a template that takes such conversations",
            id="a template's",
        ),
        pytest.param(
            ValueError("something went wrong"),
            "keep only model_name_or_path, dataset_name and max_length, and add the other keys",
            id="no word of it",
        ),
    ],
)
@pytest.mark.parametrize("stage", [Stage.MODEL, Stage.CONFIG], ids=lambda stage: stage.name)
def test_an_objection_of_a_library_is_reported_with_the_keys_to_change(
    error: Exception, remedy: str, stage: Stage
) -> None:
    failure = classify(error, stage)

    assert failure.reason == "InvalidConfig"
    assert remedy in failure.remedy
    assert str(error) in failure.message


def test_words_of_a_sentence_are_not_mistaken_for_keys() -> None:
    failure = classify(ValueError("the packing of datasets needs a seed"), Stage.MODEL)

    assert "described" not in failure.remedy
