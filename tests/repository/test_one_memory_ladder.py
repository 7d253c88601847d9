# SPDX-License-Identifier: Apache-2.0
"""Plan, remedy and retry take the same next step when GPU memory is insufficient."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_contract.outcome import Category
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.adjustments import adjustments_for_next
from finetune_operator.job.known_adjustments import EVAL_BATCH
from finetune_spec.config import Context, read_config
from finetune_spec.memory import estimate_memory, parse_model
from finetune_spec.memory.fitting import propose
from finetune_spec.memory.ladder import render_settings
from finetune_trainer.plan.memory_remedies import memory_remedy
from support.factories import CONFIG, a_job, an_attempt

MODEL: Mapping[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}

LORA = {"use_peft": True, "dtype": "bfloat16", "max_length": 512}
ONE_ROW = {**LORA, "per_device_train_batch_size": 1}
QLORA = {**ONE_ROW, "load_in_4bit": True}
FSDP = {**ONE_ROW, "fsdp": True}
HALF = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
RECOMPUTED = {"activation_checkpointing": True}
BY_ITS_OLDER_NAME = {"gradient_checkpointing": True}

RETRIED = [
    pytest.param(LORA, HALF, id="LoRA with TRL's batch"),
    pytest.param({"max_length": 512, "gradient_accumulation_steps": 2},
                 {**HALF, "gradient_accumulation_steps": 4}, id="full model"),
    pytest.param({**LORA, "per_gpu_train_batch_size": 8},
                 {"per_gpu_train_batch_size": 4, "gradient_accumulation_steps": 2},
                 id="a batch by its older name"),
    pytest.param({**LORA, "per_device_train_batch_size": 3},
                 {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3},
                 id="an odd batch"),
    pytest.param({**LORA, "activation_checkpointing": False}, HALF, id="the batch comes first"),
    pytest.param({**ONE_ROW, "activation_checkpointing": False}, RECOMPUTED, id="off"),
    pytest.param({**ONE_ROW, "gradient_checkpointing": False}, BY_ITS_OLDER_NAME,
                 id="off by its older name"),
    pytest.param({**ONE_ROW, "activation_checkpointing": False, "gradient_checkpointing": True},
                 RECOMPUTED, id="off by the newer of two names"),
    pytest.param({**ONE_ROW, "activation_checkpointing": None, "gradient_checkpointing": False},
                 BY_ITS_OLDER_NAME, id="off by the older of two names"),
    pytest.param({**QLORA, "activation_checkpointing": False}, RECOMPUTED, id="off in QLoRA"),
    pytest.param({**QLORA, "per_device_train_batch_size": 8}, HALF, id="QLoRA"),
    pytest.param({**FSDP, "per_device_train_batch_size": 8}, HALF, id="FSDP"),
    pytest.param({**FSDP, "gradient_checkpointing": False}, BY_ITS_OLDER_NAME, id="off in FSDP"),
]  # fmt: skip

ADVISED = [
    pytest.param({**ONE_ROW, "activation_checkpointing": True, "gradient_checkpointing": False},
                 {"load_in_4bit": True}, id="on by the newer of two names"),
    pytest.param(ONE_ROW, {"load_in_4bit": True}, id="LoRA"),
    pytest.param({**ONE_ROW, "dtype": "float32"}, {"dtype": "bfloat16"}, id="LoRA in 32 bits"),
    pytest.param({"per_device_train_batch_size": 1, "max_length": 512},
                 {"use_peft": True, "dtype": "bfloat16"}, id="full model, single rows"),
]  # fmt: skip

NOTHING = [
    pytest.param(QLORA, id="QLoRA"),
    pytest.param({**QLORA, "activation_checkpointing": True, "gradient_checkpointing": False},
                 id="QLoRA, on by the newer of two names"),
    pytest.param(FSDP, id="FSDP"),
    pytest.param({**FSDP, "activation_checkpointing": False,
                  "fsdp_config": {"activation_checkpointing": True}}, id="on by FSDP's switch"),
]  # fmt: skip


def planned(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The proposal of `finetune plan` if a single byte is missing."""
    context = Context(nodes=1, processes_per_node=2, gpus_per_node=2)
    reading, model = read_config({**CONFIG, **config}, context.schema), parse_model(MODEL)
    missing = estimate_memory(reading, model, context).total - 1
    proposal = propose(reading, model, context, missing)
    return None if proposal is None else proposal.settings


def advised(config: Mapping[str, Any]) -> str:
    """The remedy of a failed attempt. In one process, because several processes only lead to
    advice.
    """
    return memory_remedy(read_config({**CONFIG, **config}), 1)


def retried(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The settings of the next attempt."""
    job = a_job(config={**CONFIG, **config})
    found = adjustments_for_next(
        job, [an_attempt(1, Result.FAILED, category=Category.OUT_OF_MEMORY)]
    )
    return found and {key: value for key, value in found.items() if key != EVAL_BATCH}


@pytest.mark.parametrize(("config", "step"), RETRIED)
def test_plan_remedy_and_retry_take_the_same_step(
    config: Mapping[str, Any], step: Mapping[str, Any]
) -> None:
    assert retried(config) == step
    assert planned(config) == step
    assert advised(config).startswith(f"set {render_settings(step, ' to ')}")


@pytest.mark.parametrize(("config", "step"), ADVISED)
def test_plan_and_remedy_agree_where_a_retry_would_change_the_result(
    config: Mapping[str, Any], step: Mapping[str, Any]
) -> None:
    assert retried(config) is None
    assert planned(config) == step
    assert advised(config).startswith(f"set {render_settings(step, ' to ')}")


@pytest.mark.parametrize("config", NOTHING)
def test_plan_remedy_and_retry_end_with_the_same_settings(config: Mapping[str, Any]) -> None:
    assert retried(config) is None
    assert planned(config) is None
    assert "nothing in the config can be reduced further" in advised(config)
