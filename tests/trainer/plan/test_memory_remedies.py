# SPDX-License-Identifier: Apache-2.0
"""The remedy after a GPU ran out of memory."""

from typing import Any

import pytest

from finetune_spec.config import read_config
from finetune_trainer.plan.memory_remedies import memory_remedy

LAST = {
    "per_device_train_batch_size": 1,
    "max_length": 512,
    "use_peft": True,
    "load_in_4bit": True,
}


@pytest.mark.parametrize(
    ("config", "world_size", "words"),
    [
        pytest.param(
            {**LAST, "per_device_train_batch_size": 8},
            1,
            "set per_device_train_batch_size to 4 and gradient_accumulation_steps to 2",
            id="micro-batch",
        ),
        pytest.param({**LAST, "gradient_checkpointing": False}, 1, "gradient_checkpointing to true",
                     id="activations"),
        pytest.param({**LAST, "activation_checkpointing": False}, 1,
                     "set activation_checkpointing to true", id="activations, by the newer name"),
        pytest.param({**LAST, "activation_checkpointing": True, "gradient_checkpointing": False},
                     1, "nothing in the config can be reduced further",
                     id="activations recomputed already with any older name"),
        pytest.param({"per_gpu_train_batch_size": 8}, 1,
                     "set per_gpu_train_batch_size to 4 and gradient_accumulation_steps to 2",
                     id="the user's own spelling"),
        pytest.param({**LAST, "per_device_train_batch_size": 3}, 1,
                     "set per_device_train_batch_size to 1 and gradient_accumulation_steps to 3",
                     id="an odd micro-batch"),
        pytest.param({**LAST, "max_length": 4096}, 1, "lower max_length", id="length"),
        pytest.param({**LAST, "use_peft": False}, 1, "LoRA", id="whole model"),
        pytest.param({**LAST, "load_in_4bit": False}, 1, "QLoRA", id="weights"),
        pytest.param(LAST, 2, "fsdp2", id="several processes"),
        pytest.param(LAST, 1, "nothing in the config can be reduced further", id="nothing left"),
    ],
)  # fmt: skip
def test_a_remedy_names_settings_that_can_still_be_reduced(
    config: dict[str, Any], world_size: int, words: str
) -> None:
    told = memory_remedy(read_config(config), world_size)

    assert words in told
    assert "larger GPU" in told


def test_settings_that_are_already_minimal_are_not_named() -> None:
    told = memory_remedy(read_config(LAST), 1)

    assert "per_device_train_batch_size" not in told
    assert "max_length" not in told
