# SPDX-License-Identifier: Apache-2.0
"""Valid but suspicious settings get a warning; a usual config gets none."""

from typing import Any

import pytest

from support.config_verdicts import refusals, warnings

LORA = {"use_peft": True}
MIXTURE = {"dataset_name": None, "datasets": [{"path": "s3://data/a"}]}
STREAM = {"dataset_streaming": True, "max_steps": 100}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"learning_rate": 2e-4},
            "learning_rate: 0.0002 is unusual for full tuning; 1e-06 to 0.0001 is typical",
            id="LoRA's rate for full tuning",
        ),
        pytest.param(
            {**LORA, "learning_rate": 1e-6},
            "learning_rate: 1e-06 is unusual for an adapter; 1e-05 to 0.002 is typical",
            id="a small rate for LoRA",
        ),
        pytest.param(
            {**LORA, "learning_rate": 2},
            "learning_rate: 2 is unusual for an adapter; 1e-05 to 0.002 is typical",
            id="an exponent lost",
        ),
        pytest.param(
            {"save_strategy": "no"},
            "save_strategy: no checkpoint will be written before the end: an interrupted job "
            "would start from the beginning",
            id="nothing saved",
        ),
        pytest.param(
            {
                "load_best_model_at_end": True,
                "greater_is_better": True,
                "eval_strategy": "epoch",
                "save_strategy": "epoch",
            },
            'greater_is_better: found true together with metric_for_best_model: "loss", so the '
            "worst checkpoint would be kept: set it to false, or remove it",
            id="the worst checkpoint",
        ),
        pytest.param(
            {**LORA, "lora_r": 8, "lora_alpha": 256},
            "lora_alpha: the adapter is multiplied by 32 (lora_alpha / lora_r = 256 / 8); 1 to 2 "
            "is typical",
            id="a loud adapter",
        ),
        pytest.param(
            {**LORA, "lora_r": 256},
            "lora_r: the adapter is multiplied by 0.125 (lora_alpha / lora_r = 32 / 256); 1 to 2 "
            "is typical",
            id="a rank without its alpha",
        ),
        pytest.param(
            {"num_train_epochs": 100},
            "num_train_epochs: 100 epochs are likely to overfit; 1 to 5 are typical",
            id="by heart",
        ),
        pytest.param(
            {"max_length": 128},
            "max_length: rows longer than 128 tokens are truncated; the report counts them",
            id="short rows",
        ),
        pytest.param(
            {"max_steps": 100, "warmup_steps": 100},
            "warmup_steps: the warmup covers all of max_steps: 100; the learning rate never "
            "reaches its configured value",
            id="all warmup",
        ),
        pytest.param(
            {"dtype": "float16"},
            'dtype: the weights are in "float16", but computation is in bf16: set it to "bfloat16"',
            id="two halves",
        ),
        pytest.param(
            {"dtype": "bfloat16", "model_init_kwargs": {"dtype": "float32"}},
            'dtype: model_init_kwargs.dtype: "float32" will be used instead',
            id="said twice",
        ),
        pytest.param(
            {"max_steps": 100, "save_steps": 500},
            "save_steps: max_steps: 100 is reached first; no checkpoint is written before the end",
            id="late checkpoints",
        ),
        pytest.param(
            {"max_steps": 100, "eval_strategy": "steps", "eval_steps": 500},
            "eval_steps: max_steps: 100 is reached first; nothing will be evaluated",
            id="late evaluations",
        ),
        pytest.param(
            {"eval_strategy": "steps", "logging_steps": 1},
            "eval_strategy: without eval_steps, an evaluation runs every step, as often as "
            "metrics are logged",
            id="an evaluation at each step",
        ),
        pytest.param(
            {"save_strategy": "best", "metric_for_best_model": None, **LORA}
            | {"load_best_model_at_end": False, "lr_scheduler_type": "linear"}
            | {"eval_strategy": "no"},
            'save_strategy: no checkpoint will be written while eval_strategy is "no": an '
            "interrupted job would start from the beginning",
            id="the best of none",
        ),
        pytest.param(
            {"fsdp": "full_shard", **LORA, "load_in_4bit": True},
            "load_in_4bit: FSDP replicates the 4-bit weights on every GPU: to shard them, set "
            "bnb_4bit_quant_storage and dtype both to bfloat16",
            id="4 bits whole",
        ),
        pytest.param(
            {"attn_implementation": "flash_attention_3"},
            'attn_implementation: "flash_attention_3" is a package that the trainer image lacks: '
            "the job would fail unless spec.image has it; flash_attention_2 needs none",
            id="attention in a package",
        ),
    ],
)
def test_a_suspicious_setting_gets_advice(config: dict[str, Any], sentence: str) -> None:
    assert warnings(config) == [sentence]


def test_a_huge_effective_batch_size_gets_advice() -> None:
    config = {"per_device_train_batch_size": 64, "gradient_accumulation_steps": 16}
    sentence = (
        "per_device_train_batch_size: the effective batch is 8192; few datasets are large "
        "enough for an effective batch above 4096"
    )

    assert warnings(config, nodes=2, processes_per_node=4) == [sentence]
    assert warnings(config, nodes=1, processes_per_node=4) == []
    assert warnings(config) == []


def test_sharding_over_a_single_process_gets_advice() -> None:
    sentence = (
        "fsdp: there is only one process, so nothing is sharded: request more in "
        "spec.resources.gpusPerNode, or remove it"
    )
    one = {"nodes": 1, "processes_per_node": 1, "gpus_per_node": 1}

    assert warnings({"fsdp": "full_shard"}, **one) == [sentence]
    assert warnings({"fsdp": "full_shard offload"}, **one) == []
    assert warnings({"fsdp": "full_shard"}, **{**one, "nodes": 2}) == []


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="nothing said"),
        pytest.param({"attn_implementation": "flash_attention_2"}, id="attention in torch"),
        pytest.param(
            {
                "dtype": "bfloat16",
                "load_in_4bit": True,
                "use_peft": True,
                "lora_r": 16,
                "lora_alpha": 32,
                "lora_target_modules": "all-linear",
                "num_train_epochs": 1,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 8,
                "learning_rate": 2.0e-4,
                "max_length": 2048,
                "packing": True,
                "save_steps": 200,
            },
            id="QLoRA",
        ),
        pytest.param(
            {
                "learning_rate": 1e-5,
                "num_train_epochs": 3,
                "lr_scheduler_type": "cosine",
                "warmup_steps": 0.03,
                "gradient_checkpointing": True,
                "max_length": 4096,
                "packing": True,
                "assistant_only_loss": True,
                "eval_strategy": "steps",
                "eval_steps": 100,
                "per_device_eval_batch_size": 8,
                "save_steps": 100,
                "save_total_limit": 2,
                "load_best_model_at_end": True,
                "metric_for_best_model": "eval_loss",
                "greater_is_better": False,
                "report_to": "tensorboard",
            },
            id="full tuning with evaluations",
        ),
        pytest.param(
            {
                "deepspeed": {
                    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}},
                    "bf16": {"enabled": "auto"},
                    "train_micro_batch_size_per_gpu": "auto",
                    "gradient_accumulation_steps": "auto",
                },
                "learning_rate": 5e-6,
                "max_length": 8192,
                "packing": True,
                "packing_strategy": "bfd_split",
            },
            id="ZeRO-3",
        ),
        pytest.param({**STREAM, "learning_rate": 1e-5, "save_steps": 50}, id="a stream"),
        pytest.param(
            {**MIXTURE, "test_split_size": 0.05, "eval_strategy": "epoch"}, id="a mixture"
        ),
        pytest.param({"max_length": 128, "packing": True, "packing_strategy": "wrapped"}, id="cut"),
        pytest.param({**LORA, "use_rslora": True, "lora_r": 256}, id="a rank that scales itself"),
        pytest.param({"optim": "sgd", "learning_rate": 0.1}, id="another optimizer"),
        pytest.param({"push_to_hub": True, "hub_model_id": "me/model"}, id="the hub"),
        pytest.param({"push_to_hub": True}, id="the hub, by the job's name"),
        pytest.param({"report_to": ["mlflow", "tensorboard"]}, id="trackers without a server"),
    ],
)
def test_a_usual_config_is_neither_refused_nor_gets_advice(config: dict[str, Any]) -> None:
    known: dict[str, Any] = {"nodes": 1, "processes_per_node": 2, "gpus_per_node": 2}

    assert refusals(config, **known) == []
    assert warnings(config, **known) == []
