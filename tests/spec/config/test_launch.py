# SPDX-License-Identifier: Apache-2.0
"""`accelerate_config`: the messages about an invalid one, and the keys of a valid one."""

from typing import Any

import pytest

from finetune_spec.config import Context, read_config
from finetune_spec.config.parse.launch.profiles import NAMED
from finetune_spec.config.parse.launch.resolution import resolve_launch
from finetune_spec.memory import estimate_memory, parse_model
from support.config_verdicts import GOOD, refusals, warnings

FOUR_GPUS = {"nodes": 1, "processes_per_node": 4, "gpus_per_node": 4}
FSDP = {"distributed_type": "FSDP", "fsdp_config": {"fsdp_version": 2}}
ZERO = {"distributed_type": "DEEPSPEED", "deepspeed_config": {"zero_stage": 3}}


def whole(**keys: Any) -> dict[str, Any]:
    return {"accelerate_config": {"distributed_type": "MULTI_GPU", **keys}}


@pytest.mark.parametrize("name", sorted(NAMED.keys() - {"single_gpu"}))
def test_every_profile_name_is_accepted(name: str) -> None:
    assert refusals({"accelerate_config": name}, **FOUR_GPUS) == []


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"accelerate_config": "fsdpp"},
            'accelerate_config: found "fsdpp", which is not a profile, did you mean fsdp2?',
            id="a name with a typo",
        ),
        pytest.param(
            {"accelerate_config": "horovod"},
            'accelerate_config: found "horovod", which is not a profile, expected one of ddp, '
            "fsdp2, zero2, zero3, zero3-offload",
            id="a name that is none",
        ),
        pytest.param(
            {"accelerate_config": "profiles/fsdp.yaml"},
            'accelerate_config: found "profiles/fsdp.yaml", a file that the trainer does not '
            "have: write its contents here as a mapping, or the name of a profile",
            id="a file",
        ),
        pytest.param(
            {"accelerate_config": {"num_processes": 4}},
            "accelerate_config.distributed_type: missing: one of NO, MULTI_GPU, MULTI_CPU, FSDP, "
            "DEEPSPEED",
            id="no strategy",
        ),
        pytest.param(
            whole(distributed_type="deepspeed"),
            'accelerate_config.distributed_type: found "deepspeed", did you mean DEEPSPEED?',
            id="a strategy in small letters",
        ),
        pytest.param(
            whole(fsdp_config={"fsdp_version": 2}),
            "accelerate_config.fsdp_config: found together with distributed_type: MULTI_GPU, "
            "expected FSDP there",
            id="an ignored section",
        ),
        pytest.param(
            whole(fsdp_confg={}),
            "accelerate_config.fsdp_confg: not a key of an accelerate config, did you mean "
            "fsdp_config?",
            id="a key with a typo",
        ),
        pytest.param(
            whole(megatron_lm_config={"megatron_lm_tp_degree": 2}),
            "accelerate_config.megatron_lm_config: trainers do not support Megatron-LM: use FSDP "
            "or DeepSpeed",
            id="Megatron",
        ),
        pytest.param(
            whole(mixed_precision="fp8"),
            'accelerate_config.mixed_precision: found "fp8": TRL does not support fp8',
            id="8 bits",
        ),
        pytest.param(
            whole(compute_environment="AMAZON_SAGEMAKER"),
            'accelerate_config.compute_environment: found "AMAZON_SAGEMAKER", expected '
            '"LOCAL_MACHINE": the job is started here',
            id="another place",
        ),
        pytest.param(
            {"accelerate_config": {**FSDP, "fsdp_config": {"fsdp_offload_params": "yes"}}},
            'accelerate_config.fsdp_config.fsdp_offload_params: found "yes", a string, expected '
            "true or false: write true, without quotes",
            id="an option of the wrong type",
        ),
        pytest.param(
            {"accelerate_config": {**ZERO, "deepspeed_config": {"zero_stage": 4}}},
            "accelerate_config.deepspeed_config.zero_stage: found 4, expected one of 0, 1, 2, 3",
            id="a stage that there is not",
        ),
        pytest.param(
            {"accelerate_config": "fsdp2", "fsdp": True},
            "fsdp: found together with accelerate_config, which already sets it: remove one of "
            "them",
            id="together with fsdp",
        ),
        pytest.param(
            {"accelerate_config": "ddp", "deepspeed": {"zero_optimization": {"stage": 2}}},
            "deepspeed: found together with accelerate_config, which already sets it: remove one "
            "of them",
            id="together with deepspeed",
        ),
        pytest.param(
            {"accelerate_config": "single_gpu"},
            "accelerate_config: is for one process, and the job has 4: write ddp, fsdp2, zero2 "
            "or zero3, or request one GPU in spec.resources.gpusPerNode",
            id="one process of four",
        ),
        pytest.param(
            {**whole(mixed_precision="fp16"), "bf16": True},
            'accelerate_config.mixed_precision: found "fp16" together with bf16: true: remove '
            "one of them",
            id="another precision",
        ),
    ],
)
def test_an_invalid_accelerate_config_is_refused_with_what_to_write(
    config: dict[str, Any], sentence: str
) -> None:
    assert refusals(config, **FOUR_GPUS) == [sentence]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"accelerate_config": "zero3", "use_peft": True, "load_in_8bit": True},
            "load_in_8bit: found true together with DeepSpeed's ZeRO-3, which computes "
            "incorrectly with 8-bit weights: set accelerate_config to zero2",
            id="8 bits and ZeRO-3 by name",
        ),
        pytest.param(
            {"accelerate_config": ZERO, "use_peft": True, "load_in_8bit": True},
            "load_in_8bit: found true together with DeepSpeed's ZeRO-3, which computes "
            "incorrectly with 8-bit weights: set accelerate_config.deepspeed_config.zero_stage "
            "to 2",
            id="8 bits and ZeRO-3 given whole",
        ),
        pytest.param(
            {
                "accelerate_config": {
                    "distributed_type": "DEEPSPEED",
                    "deepspeed_config": {"zero_stage": 2, "gradient_accumulation_steps": 4},
                }
            },
            "accelerate_config.deepspeed_config.gradient_accumulation_steps: found 4, expected "
            '"auto", or 1 as gradient_accumulation_steps',
            id="another accumulation",
        ),
        pytest.param(
            {
                "accelerate_config": {
                    **FSDP,
                    "fsdp_config": {"fsdp_version": 2, "fsdp_activation_checkpointing": True},
                }
            },
            "accelerate_config.fsdp_config.activation_checkpointing: found true together with "
            "activation_checkpointing, which is enabled by default: set that to false",
            id="recomputed twice",
        ),
        pytest.param(
            {
                "accelerate_config": {
                    **FSDP,
                    "parallelism_config": {"parallelism_config_cp_size": 3},
                }
            },
            "accelerate_config.parallelism_config: found PARALLELISM_CONFIG sizes whose product "
            "is 3, expected 4, the number of the job's processes",
            id="sizes that are not the job's",
        ),
    ],
)
def test_the_settings_of_a_profile_are_checked_like_the_keys_themselves(
    config: dict[str, Any], sentence: str
) -> None:
    assert refusals(config, **FOUR_GPUS) == [sentence]


@pytest.mark.parametrize("profile", ["fsdp1", {"distributed_type": "FSDP"}], ids=["name", "whole"])
def test_fsdp_1_is_refused_on_cpus_where_torch_lacks_it(profile: Any) -> None:
    said = refusals({"accelerate_config": profile}, **{**FOUR_GPUS, "gpus_per_node": 0})

    assert [sentence.partition(" in a job")[0] for sentence in said] == [
        "accelerate_config: found with FSDP 1"
        if profile == "fsdp1"
        else "accelerate_config.distributed_type: found with FSDP 1"
    ]


@pytest.mark.parametrize("profile", ["zero2", "zero3", "zero3-offload"])
def test_deepspeed_is_accepted_on_cpus(profile: str) -> None:
    assert refusals({"accelerate_config": profile}, **{**FOUR_GPUS, "gpus_per_node": 0}) == []


def test_deepspeed_with_fp16_is_refused_on_cpus() -> None:
    config = {"accelerate_config": "zero2", "fp16": True}

    assert refusals(config, **{**FOUR_GPUS, "gpus_per_node": 0}) == [
        "fp16: found true together with DeepSpeed in a job without GPUs: remove it"
    ]
    assert refusals(config, **FOUR_GPUS) == []


def test_accelerate_settings_owned_by_the_job_are_ignored_if_equal_and_warned_about_if_not() -> (
    None
):
    agreeing = whole(num_processes=4, num_machines=1, machine_rank=0, rdzv_backend="static")
    differing = whole(num_processes=8, main_process_ip="10.0.0.1")

    assert warnings(agreeing, **FOUR_GPUS) == []
    assert warnings(differing, **FOUR_GPUS) == [
        (
            "accelerate_config.num_processes: found 8, but the job has 4 processes, as set by "
            "spec.resources: nodes x gpusPerNode"
        ),
        "accelerate_config.main_process_ip: is ignored: the job's processes find each other",
    ]


def test_mixed_precision_no_is_kept_with_a_warning() -> None:
    config = whole(mixed_precision="no")

    assert resolve_launch(config).values == {"bf16": False}
    assert warnings(config, **FOUR_GPUS) == [
        (
            'accelerate_config.mixed_precision: found "no", so everything is computed in dtype: '
            "for bf16, TRL's default, remove it"
        )
    ]


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        pytest.param("ddp", {}, id="DDP needs no key"),
        pytest.param(
            {
                "distributed_type": "FSDP",
                "fsdp_config": {
                    "fsdp_version": 2,
                    "fsdp_offload_params": True,
                    "fsdp_transformer_layer_cls_to_wrap": "LlamaDecoderLayer,Other",
                    "fsdp_activation_checkpointing_offload": True,
                },
            },
            {
                "fsdp": True,
                "fsdp_config": {
                    "version": 2,
                    "cpu_offload": True,
                    "transformer_layer_cls_to_wrap": ["LlamaDecoderLayer", "Other"],
                },
                "env": {"FSDP_ACTIVATION_CHECKPOINTING_OFFLOAD": "true"},
            },
            id="FSDP 2",
        ),
        pytest.param(
            {"distributed_type": "FSDP", "fsdp_config": {}},
            {
                "fsdp": True,
                "fsdp_config": {"version": 1, "reshard_after_forward": "FULL_SHARD"},
            },
            id="accelerate's own default is FSDP 1",
        ),
        pytest.param(
            {
                "distributed_type": "DEEPSPEED",
                "deepspeed_config": {"deepspeed_config_file": "/data/ds.json"},
            },
            {"deepspeed": "/data/ds.json"},
            id="DeepSpeed's own file",
        ),
        pytest.param(
            whole(mixed_precision="fp16", use_cpu=True, debug=True)["accelerate_config"],
            {"fp16": True, "use_cpu": True, "env": {"ACCELERATE_DEBUG_MODE": "true"}},
            id="settings next to the strategy",
        ),
        pytest.param(
            whole(dynamo_config={"dynamo_backend": "INDUCTOR", "dynamo_mode": "default"})[
                "accelerate_config"
            ],
            {"torch_compile_backend": "inductor", "torch_compile_mode": "default"},
            id="compilation",
        ),
    ],
)
def test_a_profile_sets_keys_of_sft_config(profile: Any, expected: dict[str, Any]) -> None:
    assert resolve_launch({"accelerate_config": profile}).values == expected


def test_zero_with_offloading_uses_the_adam_that_needs_no_compiler() -> None:
    resolved = resolve_launch({"accelerate_config": "zero3-offload"}).values["deepspeed"]

    assert resolved["zero_optimization"]["offload_optimizer"] == {"device": "cpu"}
    assert resolved["zero_force_ds_cpu_optimizer"] is False


def test_the_config_wins_over_the_profile() -> None:
    config = {
        **whole(debug=True, use_cpu=True),
        "use_cpu": False,
        "env": {"ACCELERATE_DEBUG_MODE": "false", "HF_HOME": "/cache"},
    }

    assert resolve_launch(config).values == {
        "use_cpu": False,
        "env": {"ACCELERATE_DEBUG_MODE": "false", "HF_HOME": "/cache"},
    }


def test_the_memory_estimate_includes_the_sharding_of_a_profile() -> None:
    model = parse_model(
        {
            "model_type": "llama",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        }
    )
    context = Context(**FOUR_GPUS)

    def needed(**config: Any) -> int:
        return estimate_memory(
            read_config({**GOOD, **config}, context.schema), model, context
        ).optimizer

    assert needed(accelerate_config="fsdp2") * 4 == pytest.approx(needed(), rel=0.01)
    assert needed(accelerate_config="zero3-offload") < needed(accelerate_config="zero2")
