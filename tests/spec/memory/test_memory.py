# SPDX-License-Identifier: Apache-2.0
"""The memory estimate without torch; tests/trainer/plan/test_memory_estimate.py measures."""

from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config import Context, read_config
from finetune_spec.memory import (
    Estimate,
    UnreadableModel,
    estimate_memory,
    parse_model,
    with_parameters,
)
from finetune_spec.memory.fitting import advise_on_memory, propose
from finetune_spec.quantities import parse_quantity, render_bytes
from gpu.proof.models import SIZES

QWEN_7B: Mapping[str, Any] = {
    **SIZES["Qwen2.5 7B"],
    "max_position_embeddings": 32768,
    "torch_dtype": "bfloat16",
}
"""The numbers of Qwen2.5-7B-Instruct, which has 7,615,616,512 parameters."""

PARAMETERS = 7_615_616_512
GIB = 1024**3


def needs(config: Mapping[str, Any] | None = None, **around: Any) -> Estimate:
    context = Context(**{"nodes": 1, "processes_per_node": 1, "gpus_per_node": 1, **around})
    return estimate_memory(read_config(config or {}, context.schema), parse_model(QWEN_7B), context)


def test_the_parameters_of_a_known_model_are_counted_exactly() -> None:
    assert parse_model(QWEN_7B).parameters == PARAMETERS


@pytest.mark.parametrize(
    ("config", "weights", "gradients", "optimizer"),
    [
        pytest.param({}, 4, 4, 8, id="TRL's defaults hold everything in 32 bits"),
        pytest.param({"dtype": "bfloat16"}, 2, 2, 4, id="bfloat16 halves everything"),
        pytest.param({"dtype": "auto"}, 2, 2, 4, id="auto is what the model was saved in"),
        pytest.param({"torch_dtype": "bfloat16"}, 2, 2, 4, id="an older spelling counts"),
        pytest.param({"optim": "sgd"}, 4, 4, 0, id="sgd keeps nothing"),
        pytest.param({"optim": "paged_adamw_32bit"}, 4, 4, 8, id="paged states may lie on the GPU"),
        pytest.param({"optim": "lion_32bit"}, 4, 4, 4, id="lion keeps one number"),
    ],
)
def test_the_bytes_per_parameter_depend_on_the_config(
    config: Mapping[str, Any], weights: int, gradients: int, optimizer: int
) -> None:
    estimate = needs(config)

    assert estimate.weights == weights * PARAMETERS
    assert estimate.gradients == gradients * PARAMETERS
    assert estimate.optimizer == optimizer * PARAMETERS


@pytest.mark.parametrize(
    ("targets", "trainable"),
    [
        pytest.param(None, 28 * 16 * (3584 + 3584 + 3584 + 512), id="PEFT's own: q_proj, v_proj"),
        pytest.param(["q_proj"], 28 * 16 * (3584 + 3584), id="a list of one"),
        pytest.param(r".*\.layers\.[01]\..*q_proj", 2 * 16 * (3584 + 3584), id="an expression"),
        pytest.param("all-linear", 40_370_176, id="all-linear, as PEFT prints it"),
        pytest.param(["nothing"], 0, id="a name that is nowhere"),
    ],
)
def test_an_adapter_is_counted_by_its_targets(targets: object, trainable: int) -> None:
    estimate = needs({"use_peft": True, "lora_target_modules": targets})

    # A list of one is an expression for PEFT, and must match the complete name.
    expected = 0 if isinstance(targets, list) else trainable
    assert estimate.trainable == expected


def test_a_list_of_targets_matches_the_ends_of_names() -> None:
    estimate = needs({"use_peft": True, "lora_target_modules": ["q_proj", "k_proj"]})

    assert estimate.trainable == 28 * 16 * (3584 + 3584 + 3584 + 512)


def test_an_adapter_has_32_bits_except_with_quantized_weights() -> None:
    whole = needs({"use_peft": True, "dtype": "bfloat16"})
    quantized = needs({"use_peft": True, "dtype": "bfloat16", "load_in_4bit": True})

    assert whole.gradients == 4 * whole.trainable
    assert quantized.gradients == 2 * quantized.trainable


def test_4_bit_quantization_leaves_embeddings_and_head_unchanged() -> None:
    estimate = needs({"use_peft": True, "load_in_4bit": True, "dtype": "bfloat16"})

    outside = 2 * 152064 * 3584
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert estimate.weights == pytest.approx(2 * outside + matrices * 0.5625, rel=0.01)


@pytest.mark.parametrize(
    ("config", "weights", "gradients", "optimizer"),
    [
        pytest.param({"deepspeed": {"zero_optimization": {"stage": 2}}}, 2, 2 / 8, 12 / 8, id="2"),
        pytest.param({"deepspeed": "ds_zero2.json"}, 2, 2 / 8, 12 / 8, id="2 by the file's name"),
    ],
)
def test_zero_shards_the_parts_of_its_stage(
    config: Mapping[str, Any], weights: float, gradients: float, optimizer: float
) -> None:
    estimate = needs(config, processes_per_node=8, gpus_per_node=8)

    assert estimate.weights == weights * PARAMETERS
    assert estimate.gradients == gradients * PARAMETERS
    assert estimate.optimizer == optimizer * PARAMETERS


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"deepspeed": {"zero_optimization": {"stage": 3}}}, id="ZeRO-3"),
        pytest.param({"fsdp": "full_shard auto_wrap"}, id="FSDP"),
    ],
)
def test_full_sharding_fits_a_model_that_one_gpu_cannot_hold(
    config: Mapping[str, Any],
) -> None:
    alone = needs()
    sharded = needs(config, processes_per_node=8, gpus_per_node=8)

    assert alone.total > 110 * GIB
    assert sharded.total < 30 * GIB


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"gradient_checkpointing": False}, id="all activations kept"),
        pytest.param({"per_device_train_batch_size": 16}, id="a larger batch"),
        pytest.param({"max_length": 2048}, id="longer rows"),
        pytest.param({"attn_implementation": "eager"}, id="attention that keeps its matrix"),
        pytest.param({"label_smoothing_factor": 0.1}, id="a loss that needs all logits"),
        pytest.param({"bf16": False}, id="computing in 32 bits"),
        pytest.param({"activation_checkpointing_kwargs": {"every_n_layers": 4}}, id="each fourth"),
    ],
)
def test_each_of_these_settings_adds_activation_memory(config: Mapping[str, Any]) -> None:
    def kept(estimate: Estimate) -> int:
        return estimate.activations + estimate.working

    assert kept(needs({"use_peft": True, **config})) > kept(needs({"use_peft": True}))


def test_offloading_keeps_fewer_activations_than_checkpointing() -> None:
    offloaded = needs({"use_peft": True, "activation_offloading": True})

    assert offloaded.activations < needs({"use_peft": True}).activations


def test_fsdps_checkpointing_counts_like_trls() -> None:
    fsdp = {"use_peft": True, "fsdp": True}
    own = {"activation_checkpointing": False, "fsdp_config": {"activation_checkpointing": True}}

    kept, recomputed = needs({**fsdp, "activation_checkpointing": False}), needs({**fsdp, **own})

    assert recomputed.activations < kept.activations
    assert recomputed == needs(fsdp)


def test_the_parts_add_up_with_gradient_accumulation() -> None:
    estimate = needs({"gradient_accumulation_steps": 2})

    assert estimate.total == sum(estimate.parts.values())


def test_without_accumulation_only_the_larger_of_gradients_and_activations_counts() -> None:
    estimate = needs({"use_peft": True})

    assert estimate.gradients < estimate.activations
    assert estimate.total == sum(estimate.parts.values()) - estimate.gradients


def test_weight_headers_correct_the_parameter_count() -> None:
    model = with_parameters(parse_model(QWEN_7B), PARAMETERS + 1000)

    assert model.parameters == PARAMETERS + 1000


def test_an_unknown_architecture_is_treated_as_a_llama_with_a_note() -> None:
    model = parse_model({**QWEN_7B, "model_type": "yet_to_come"})

    assert not model.is_known
    assert model.parameters == pytest.approx(PARAMETERS, rel=0.001)


def test_the_text_part_of_a_vision_model_is_counted() -> None:
    model = parse_model({"model_type": "gemma3", "text_config": {**QWEN_7B}})

    assert model.parameters == PARAMETERS


def test_a_config_without_sizes_is_reported_with_the_missing_key() -> None:
    with pytest.raises(UnreadableModel, match=r"the model's config.json has no hidden_size"):
        parse_model({"model_type": "clip"})


@pytest.mark.parametrize(
    ("config", "memory", "settings"),
    [
        pytest.param(
            {"use_peft": True, "dtype": "bfloat16", "per_device_train_batch_size": 32},
            "26Gi",
            {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2},
            id="a smaller batch, the largest that fits, with more accumulation",
        ),
        pytest.param(
            {"use_peft": True, "dtype": "bfloat16", "gradient_checkpointing": False},
            "40Gi",
            {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
            id="a smaller batch before what the user has switched off is on again",
        ),
        pytest.param(
            {"use_peft": True, "dtype": "bfloat16", "gradient_checkpointing": False},
            "20Gi",
            {"gradient_checkpointing": True},
            id="checkpointing alone where single rows are too many without it",
        ),
        pytest.param(
            {"use_peft": True, "dtype": "bfloat16", "gradient_checkpointing": False},
            "16Gi",
            {
                "per_device_train_batch_size": 1,
                "gradient_accumulation_steps": 8,
                "gradient_checkpointing": True,
            },
            id="both",
        ),
        pytest.param(
            {"use_peft": True, "torch_dtype": "bfloat16", "per_gpu_train_batch_size": 32},
            "26Gi",
            {"per_gpu_train_batch_size": 16, "gradient_accumulation_steps": 2},
            id="in the user's own spelling",
        ),
        pytest.param(
            {"use_peft": True, "per_device_train_batch_size": 1},
            "24Gi",
            {"dtype": "bfloat16"},
            id="then weights that don't learn in 16 bits",
        ),
        pytest.param(
            {"use_peft": True, "dtype": "bfloat16", "per_device_train_batch_size": 1},
            "12Gi",
            {"load_in_4bit": True},
            id="then 4 bits",
        ),
        pytest.param(
            {"per_device_train_batch_size": 1},
            "24Gi",
            {"use_peft": True, "dtype": "bfloat16"},
            id="an adapter where the whole model would not fit",
        ),
    ],
)
def test_the_least_harmful_change_that_fits_is_proposed(
    config: Mapping[str, Any], memory: str, settings: Mapping[str, Any]
) -> None:
    context = Context(nodes=1, processes_per_node=1, gpus_per_node=1)
    proposal = propose(
        read_config(config, context.schema), parse_model(QWEN_7B), context, parse_quantity(memory)
    )

    assert proposal is not None
    assert proposal.settings == settings
    assert proposal.estimate.total <= parse_quantity(memory)


def test_nothing_is_proposed_if_nothing_helps() -> None:
    context = Context(nodes=1, processes_per_node=1, gpus_per_node=1)

    assert propose(read_config({}, context.schema), parse_model(QWEN_7B), context, 2 * GIB) is None


def test_the_warning_shows_required_and_available_memory_and_what_to_set() -> None:
    context = Context(nodes=1, processes_per_node=1, gpus_per_node=1, model=QWEN_7B)
    config = read_config({"use_peft": True, "per_device_train_batch_size": 1}, context.schema)

    [problem] = advise_on_memory("spec.config", config, context, 24 * GIB)

    assert problem.is_warning
    assert str(problem) == (
        "spec.config: needs an estimated 30.5Gi on each GPU, but these have 24Gi: set dtype: "
        "bfloat16 (15.8Gi)"
    )


@pytest.mark.parametrize(
    ("context", "gpu_bytes"),
    [
        pytest.param(Context(model=QWEN_7B, gpus_per_node=1), 640 * GIB, id="it fits"),
        pytest.param(Context(model=QWEN_7B, gpus_per_node=1), None, id="no size is known"),
        pytest.param(Context(gpus_per_node=1), GIB, id="the model is not known"),
        pytest.param(
            Context(model={}, gpus_per_node=1), GIB, id="the config.json of the model is empty"
        ),
        pytest.param(Context(model=QWEN_7B, gpus_per_node=0), GIB, id="it trains on CPUs"),
    ],
)
def test_no_memory_warning_is_given_when(context: Context, gpu_bytes: int | None) -> None:
    assert not list(advise_on_memory("", read_config({}, context.schema), context, gpu_bytes))


@pytest.mark.parametrize(
    ("text", "number"), [("24Gi", 24 * GIB), ("80G", 80 * 10**9), ("1.5Gi", GIB * 3 // 2)]
)
def test_quantities_are_parsed_as_kubernetes_writes_them(text: str, number: int) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize("text", ["", "24 GB", "much", "-1Gi", "0Gi"])
def test_an_invalid_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an amount of memory such as 24Gi"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (512 * 1024**2, "512Mi"), (15_246_000_000, "14.2Gi"), (2 * GIB, "2Gi")],
)
def test_bytes_are_shown_in_a_readable_unit(number: int, text: str) -> None:
    assert render_bytes(number) == text
