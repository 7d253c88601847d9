# SPDX-License-Identifier: Apache-2.0
"""Values that must agree: adapters, quantization, checkpointing, optimizers."""

from typing import Any

import pytest

from support.config_verdicts import refusals

LORA = {"use_peft": True}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"lora_r": 8, "lora_alpha": 16},
            "lora_r: has no effect without use_peft: true, and the full model would be trained: "
            "set use_peft to true, or remove lora_r and lora_alpha",
            id="LoRA that is not on",
        ),
        pytest.param(
            {"use_peft": False, "lora_target_modules": "all-linear"},
            "lora_target_modules: has no effect without use_peft: true, and the full model would "
            "be trained: set use_peft to true, or remove lora_target_modules",
            id="targets of full tuning",
        ),
        pytest.param(
            {"merge_adapter": True},
            "merge_adapter: found true without use_peft: true: full fine-tuning already "
            "publishes a complete model; leave merge_adapter out, or set use_peft to true",
            id="nothing to merge",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "lm_head"]},
            "lora_target_modules: found lm_head, which TRL cannot train with an adapter: to "
            "train all of it, move it to lora_modules_to_save",
            id="the output layer",
        ),
        pytest.param(
            {**LORA, "lora_target_parameters": ["experts.down_proj"]},
            "lora_target_parameters: found together with lora_dropout: 0.05, expected "
            "lora_dropout: 0",
            id="dropout on parameters",
        ),
        pytest.param(
            {
                **LORA,
                "lora_target_parameters": ["experts.down_proj"],
                "lora_dropout": 0,
                "use_dora": True,
            },
            "lora_target_parameters: found together with use_dora: true, expected only one of them",
            id="DoRA on parameters",
        ),
        pytest.param(
            {**LORA, "load_in_4bit": True, "load_in_8bit": True},
            "load_in_4bit: found true together with load_in_8bit: true, expected only one of them",
            id="4 and 8 bits",
        ),
        pytest.param(
            {"load_in_8bit": True},
            "load_in_8bit: found true without use_peft: true: quantized weights cannot be "
            "trained, only an adapter on top of them: set use_peft to true",
            id="full tuning in 8 bits",
        ),
        pytest.param(
            {
                **LORA,
                "load_in_4bit": True,
                "model_init_kwargs": {"quantization_config": {"load_in_4bit": True}},
            },
            "model_init_kwargs: found quantization_config together with load_in_4bit: true, "
            "expected only one of them",
            id="quantized twice",
        ),
        pytest.param(
            {**LORA, "load_in_4bit": True, "dtype": "auto"},
            'dtype: found "auto" together with load_in_4bit: true, expected the type for '
            "computation: bfloat16 if the GPU supports it",
            id="4 bits of any dtype",
        ),
        pytest.param(
            {**LORA, "num_layers_unfrozen": 2},
            "num_layers_unfrozen: found together with use_peft: true, which freezes every layer "
            "already: remove one of them",
            id="last layers of an adapter",
        ),
        pytest.param(
            {"num_layers_unfrozen": 2, "added_tokens": ["<|tool|>"]},
            "num_layers_unfrozen: found together with added_tokens, whose embeddings it would "
            "freeze: remove one of them, or set use_peft to true instead",
            id="frozen embeddings of new tokens",
        ),
        pytest.param(
            {"added_tokens": ["<|tool|>", " "]},
            'added_tokens[1]: found " ", expected a token with text',
            id="a token of nothing",
        ),
        pytest.param(
            {
                "activation_checkpointing": False,
                "activation_checkpointing_kwargs": {"selective": True},
            },
            "activation_checkpointing_kwargs: found selective: true while "
            "activation_checkpointing is off: set it to true",
            id="selected of nothing",
        ),
        pytest.param(
            {"gradient_checkpointing_kwargs": {"selective": True, "use_reentrant": True}},
            "gradient_checkpointing_kwargs: found selective: true together with use_reentrant: "
            "true, expected only one of them",
            id="selected and reentrant",
        ),
        pytest.param(
            {"optim": "galore_adamw"},
            'optim: found "galore_adamw" without optim_target_modules: set it, e.g. to all-linear',
            id="GaLore of nothing",
        ),
        pytest.param(
            {
                "optim": "galore_adamw_layerwise",
                "optim_target_modules": "all-linear",
                "gradient_accumulation_steps": 4,
            },
            'optim: found "galore_adamw_layerwise" together with gradient_accumulation_steps: 4, '
            "expected 1 there",
            id="layer by layer, accumulated",
        ),
        pytest.param(
            {
                "use_liger_kernel": True,
                "liger_kernel_config": {"fused_linear_cross_entropy": True},
            },
            "liger_kernel_config.fused_linear_cross_entropy: found true, expected false: TRL's own "
            "loss is fused already",
            id="two fused losses",
        ),
    ],
)
def test_an_impossible_tuning_is_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals(config) == [sentence]


def test_a_layerwise_optimizer_requires_a_single_process() -> None:
    config = {"optim": "galore_adamw_layerwise", "optim_target_modules": "all-linear"}
    sentence = (
        'optim: found "galore_adamw_layerwise" in a job of 4 processes, but it supports only one'
    )

    assert refusals(config, nodes=2, processes_per_node=2) == [sentence]
    assert refusals(config, nodes=1, processes_per_node=1) == []


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        pytest.param({"num_hidden_layers": 30}, 30, id="Llama's name"),
        pytest.param({"n_layer": 12}, 12, id="GPT-2's name"),
        pytest.param({"text_config": {"num_hidden_layers": 28}}, 28, id="with a vision tower"),
    ],
)
def test_training_more_layers_than_the_model_has_is_refused(
    model: dict[str, Any], layers: int
) -> None:
    sentence = (
        f"num_layers_unfrozen: found {layers + 1}, expected at most {layers}, the layers of the "
        "model"
    )

    assert refusals({"num_layers_unfrozen": layers + 1}, model=model) == [sentence]
    assert refusals({"num_layers_unfrozen": layers}, model=model) == []
    assert refusals({"num_layers_unfrozen": layers + 1}, model={"model_type": "llama"}) == []


def test_dora_on_8_bit_weights_is_refused_on_cpus_where_peft_loses_the_scales() -> None:
    config = {**LORA, "use_dora": True, "load_in_8bit": True}
    sentence = (
        "use_dora: found true together with load_in_8bit: true in a job without GPUs, where PEFT "
        "does not support it: set load_in_4bit instead, or remove one of them"
    )

    assert refusals(config, gpus_per_node=0) == [sentence]
    assert refusals(config, gpus_per_node=1) == []


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({**LORA, "lora_r": 8, "lora_target_modules": "all-linear"}, id="all-linear"),
        pytest.param({**LORA, "lora_target_modules": ["all-linear"]}, id="all-linear in a list"),
        pytest.param({**LORA, "lora_target_modules": ["q_proj", "v_proj"]}, id="two targets"),
        pytest.param({**LORA, "lora_target_modules": [".*q_proj"]}, id="a pattern"),
        pytest.param({**LORA, "lora_target_modules": r".*\.(q|v)_proj"}, id="a pattern for two"),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "k_proj"], "lora_modules_to_save": ["x"]},
            id="a module whole",
        ),
        pytest.param({"use_peft": False, "lora_r": 8}, id="LoRA that was switched off"),
        pytest.param({"lora_target_modules": None, "use_dora": False}, id="nothing of LoRA"),
        pytest.param(
            {**LORA, "lora_target_parameters": ["experts.down_proj"], "lora_dropout": 0.0},
            id="parameters without dropout",
        ),
        pytest.param({**LORA, "load_in_4bit": True, "use_dora": True}, id="QDoRA"),
        pytest.param({**LORA, "load_in_8bit": True}, id="8 bits"),
        pytest.param({"num_layers_unfrozen": 2}, id="the last layers"),
        pytest.param({"added_tokens": ["<|tool|>"]}, id="a token more"),
        pytest.param({**LORA, "added_tokens": ["<|tool|>"]}, id="a token more for an adapter"),
        pytest.param({"gradient_checkpointing_kwargs": {"selective": True}}, id="selected"),
        pytest.param({"optim": "galore_adamw", "optim_target_modules": "all-linear"}, id="GaLore"),
        pytest.param({"use_liger_kernel": True}, id="Liger"),
    ],
)
def test_a_possible_tuning_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config) == []
