# SPDX-License-Identifier: Apache-2.0
"""Values that must agree: FSDP, DeepSpeed, and the number of processes."""

from typing import Any

import pytest

from support.config_verdicts import refusals

SHARDED = {"fsdp": "full_shard"}
QLORA = {"use_peft": True, "load_in_4bit": True}


def zero(stage: int, **options: Any) -> dict[str, Any]:
    return {"deepspeed": {"zero_optimization": {"stage": stage}, **options}}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {**SHARDED, **zero(2)},
            "fsdp: found together with deepspeed, expected only one of them",
            id="both",
        ),
        pytest.param(
            {"fsdp": "hybrid_shard auto_wrap"},
            'fsdp: found "hybrid_shard", which only FSDP 1 supports: write full_shard, or set '
            "fsdp_config.version to 1",
            id="a word of FSDP 1",
        ),
        pytest.param(
            {**SHARDED, "fsdp_config": {"fsdp_auto_wrap_policy": "TRANSFORMER_BASED"}},
            'fsdp_config.auto_wrap_policy: found "TRANSFORMER_BASED", did you mean '
            "TRANSFORMER_BASED_WRAP?",
            id="a policy that is none",
        ),
        pytest.param(
            {"model_init_kwargs": {"device_map": "auto"}},
            'model_init_kwargs.device_map: found "auto": each process loads the model, or its '
            "share of it, onto its own GPU: remove it",
            id="a device map",
        ),
        pytest.param(
            {"model_init_kwargs": {"device_map": {"": 0}}},
            'model_init_kwargs.device_map: found {"": 0}: each process loads the model, or its '
            "share of it, onto its own GPU: remove it",
            id="a device map of one device",
        ),
        pytest.param(
            {**SHARDED, "fsdp_config": {"activation_checkpointing": True}},
            "fsdp_config.activation_checkpointing: found true together with "
            "activation_checkpointing, which is enabled by default: set that to false",
            id="recomputed twice",
        ),
        pytest.param(
            {
                **SHARDED,
                "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"},
                "save_only_model": True,
            },
            "save_only_model: found true together with fsdp_config.state_dict_type: "
            '"SHARDED_STATE_DICT", expected only one of them',
            id="shards of a model only",
        ),
        pytest.param(
            {
                **zero(2),
                "save_only_model": True,
                "load_best_model_at_end": True,
                "eval_strategy": "epoch",
                "save_strategy": "epoch",
            },
            "save_only_model: found true together with deepspeed and load_best_model_at_end: "
            "remove it",
            id="the best of shards",
        ),
        pytest.param(
            {**SHARDED, **QLORA, "fsdp_config": {"version": 1}},
            "load_in_4bit: found true together with FSDP 1, which cannot shard 4-bit weights as "
            "configured: set bnb_4bit_quant_storage and dtype both to bfloat16",
            id="4 bits with FSDP 1",
        ),
        pytest.param(
            {**zero(3), **QLORA},
            "load_in_4bit: found true together with DeepSpeed's ZeRO-3, which cannot shard 4-bit "
            "weights as configured: set deepspeed.zero_optimization.stage to 2, or "
            "bnb_4bit_quant_storage and dtype both to bfloat16",
            id="4 bits with ZeRO-3",
        ),
        pytest.param(
            {**zero(3), **QLORA, "dtype": "float16", "bnb_4bit_quant_storage": "uint8"},
            "load_in_4bit: found true together with DeepSpeed's ZeRO-3, which cannot shard 4-bit "
            "weights as configured: set deepspeed.zero_optimization.stage to 2, or "
            "bnb_4bit_quant_storage to float16",
            id="4 bits stored otherwise than the rest",
        ),
        pytest.param(
            {**zero(3), "use_peft": True, "load_in_8bit": True},
            "load_in_8bit: found true together with DeepSpeed's ZeRO-3, which computes "
            "incorrectly with 8-bit weights: set deepspeed.zero_optimization.stage to 2",
            id="8 bits with ZeRO-3",
        ),
        pytest.param(
            {**SHARDED, "use_peft": True, "added_tokens": ["<|tool|>"]},
            "added_tokens: found together with use_peft: true and FSDP, with which PEFT cannot "
            "train single rows of an embedding: set accelerate_config to ddp or zero2, or remove "
            "use_peft",
            id="rows of shards",
        ),
        pytest.param(
            {**zero(3), "auto_find_batch_size": True},
            "auto_find_batch_size: found true together with DeepSpeed's ZeRO-3: remove it, and "
            "set per_device_train_batch_size",
            id="looks for a batch size",
        ),
        pytest.param(
            {**zero(2, train_micro_batch_size_per_gpu=4), "per_device_train_batch_size": 2},
            'deepspeed.train_micro_batch_size_per_gpu: found 4, expected "auto", or 2 as '
            "per_device_train_batch_size",
            id="another micro-batch",
        ),
        pytest.param(
            {**zero(2, train_batch_size=32), "per_device_train_batch_size": 2},
            'deepspeed.train_batch_size: found 32, expected "auto", or 8 as '
            "per_device_train_batch_size x gradient_accumulation_steps x 4 processes",
            id="a batch that four can't make",
        ),
        pytest.param(
            zero(2, gradient_clipping=0.5),
            'deepspeed.gradient_clipping: found 0.5, expected "auto", or 1.0 as max_grad_norm',
            id="another clipping",
        ),
        pytest.param(
            {**zero(2, optimizer={"params": {"lr": 3e-4}}), "learning_rate": 2e-5},
            'deepspeed.optimizer.params.lr: found 0.0003, expected "auto", or 2e-05 as '
            "learning_rate",
            id="another learning rate",
        ),
        pytest.param(
            zero(2, fp16={"enabled": True}),
            'deepspeed.fp16.enabled: found true, expected "auto", or false as fp16',
            id="another half",
        ),
        pytest.param(
            {**zero(2, bf16={"enabled": True}), "fp16": True},
            'deepspeed.bf16.enabled: found true, expected "auto", or false as bf16, which is on '
            "unless fp16 is",
            id="the other half",
        ),
        pytest.param(
            {"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 6},
            "per_device_train_batch_size: found 6, expected a multiple of the job's 4 processes, "
            "for accelerator_config.split_batches",
            id="a batch that four can't share",
        ),
        pytest.param(
            {
                "accelerator_config": {"gradient_accumulation_kwargs": {"num_steps": 2}},
                "gradient_accumulation_steps": 4,
            },
            "gradient_accumulation_steps: found 4 together with num_steps in accelerator_config, "
            "expected only one of them",
            id="accumulated twice",
        ),
        pytest.param(
            {
                "env": {
                    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
                    "PARALLELISM_CONFIG_CP_SIZE": "2",
                    "PARALLELISM_CONFIG_DP_SHARD_SIZE": "4",
                }
            },
            "env: found PARALLELISM_CONFIG sizes whose product is 8, expected 4, the number of "
            "the job's processes",
            id="dimensions of another job",
        ),
        pytest.param(
            {
                "env": {
                    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
                    "PARALLELISM_CONFIG_CP_SIZE": "4",
                },
                "packing": True,
            },
            "packing: found true together with PARALLELISM_CONFIG_CP_SIZE, with which packed "
            "rows cannot be kept apart: set it to false",
            id="parts of packs",
        ),
    ],
)
def test_a_setting_that_four_gpus_cannot_share_is_refused(
    config: dict[str, Any], sentence: str
) -> None:
    assert refusals(config, nodes=2, processes_per_node=2, gpus_per_node=2) == [sentence]


def test_adapter_training_of_zero_3_sharded_embedding_rows_is_refused_without_gpus() -> None:
    config = {**zero(3), "use_peft": True, "added_tokens": ["<|tool|>"]}
    sentence = (
        "added_tokens: found together with use_peft: true and DeepSpeed's ZeRO-3 in a job "
        "without GPUs, where PEFT cannot gather the rows of an embedding: set "
        "deepspeed.zero_optimization.stage to 2, or remove use_peft"
    )

    assert refusals(config, processes_per_node=2, gpus_per_node=0) == [sentence]
    assert refusals(config, processes_per_node=2, gpus_per_node=2) == []


AUTOMATIC = {
    "train_micro_batch_size_per_gpu": "auto",
    "train_batch_size": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "fp16": {"enabled": "auto"},
}


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(zero(3, **AUTOMATIC), id="ZeRO-3"),
        pytest.param(
            zero(
                2,
                train_micro_batch_size_per_gpu=8.0,
                train_batch_size=32,
                gradient_clipping=1,
                bf16={"enabled": True},
                fp16={"enabled": False, "loss_scale": 0},
            ),
            id="ZeRO-2 with the same numbers",
        ),
        pytest.param(
            {"deepspeed": "/profiles/zero3.json", **QLORA}, id="a file that is not available"
        ),
        pytest.param({**zero(2), **QLORA, "auto_find_batch_size": True}, id="4 bits with ZeRO-2"),
        pytest.param(
            {**zero(3), **QLORA, "dtype": "bfloat16", "bnb_4bit_quant_storage": "bfloat16"},
            id="4 bits with ZeRO-3, stored as bfloat16",
        ),
        pytest.param({**SHARDED, **QLORA}, id="4 bits with FSDP 2"),
        pytest.param({"fsdp": "full_shard auto_wrap offload"}, id="FSDP"),
        pytest.param({"fsdp": "hybrid_shard", "fsdp_config": {"version": 1}}, id="FSDP 1"),
        pytest.param(
            {
                **SHARDED,
                "activation_checkpointing": False,
                "fsdp_config": {
                    "activation_checkpointing": True,
                    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
                },
            },
            id="FSDP that recomputes",
        ),
        pytest.param(
            {"accelerator_config": {"split_batches": True}, "per_device_train_batch_size": 8},
            id="a batch that four share",
        ),
        pytest.param(
            {
                "env": {
                    "ACCELERATE_USE_PARALLELISM_CONFIG": "true",
                    "PARALLELISM_CONFIG_CP_SIZE": "4",
                }
            },
            id="parts of sequences",
        ),
    ],
)
def test_a_setting_that_four_gpus_can_share_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config, nodes=2, processes_per_node=2, gpus_per_node=2) == []


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize(
    ("backend", "gpus", "sentences"),
    [
        pytest.param(
            "nccl",
            0,
            ['ddp_backend: found "nccl" in a job without GPUs: remove it'],
            id="NCCL without GPUs",
        ),
        pytest.param(
            "xccl",
            1,
            ['ddp_backend: found "xccl", which does not support NVIDIA GPUs: remove it'],
            id="Intel's",
        ),
        pytest.param("nccl", 1, [], id="NCCL"),
        pytest.param("gloo", 0, [], id="Gloo on CPUs"),
        pytest.param("gloo", 1, [], id="Gloo on GPUs"),
    ],
)
def test_a_backend_must_match_the_hardware(
    nodes: int, backend: str, gpus: int, sentences: list[str]
) -> None:
    found = refusals(
        {"ddp_backend": backend}, nodes=nodes, processes_per_node=1, gpus_per_node=gpus
    )

    assert found == sentences


def test_an_unknown_world_size_is_not_checked() -> None:
    config = {**zero(2, train_batch_size=7), "accelerator_config": {"split_batches": True}}

    assert refusals(config) == []
