# SPDX-License-Identifier: Apache-2.0
"""The memory estimate compared with the real memory of training; docs/user/memory.md has the
figures.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedConfig,
)
from transformers.pytorch_utils import Conv1D

from finetune_spec.config import read_config
from finetune_spec.memory import Architecture, parse_model
from finetune_spec.memory.adapter import DEFAULT_TARGETS
from finetune_spec.memory.estimate import base_weight_bytes
from finetune_spec.memory.families import FAMILIES
from finetune_spec.memory.strategy import read_strategy
from support.long_form import keeping
from testbed import base_model
from trainer.memory_measurement import (
    MODELS,
    STRATEGIES,
    Measured,
    Training,
    count_parameters,
    measure,
    prepare,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOLERANCE = 0.25
"""The accuracy of activations and of the peak in docs/user/memory.md."""

OTHER_ADAPTERS: Mapping[str, Mapping[str, Any]] = {
    "DoRA": {"use_peft": True, "use_dora": True, "lora_target_modules": ["q_proj", "v_proj"]},
    "head and embeddings saved whole": {
        "use_peft": True,
        "dtype": "bfloat16",
        "lora_modules_to_save": ["lm_head", "embed_tokens"],
    },
    "an expression": {"use_peft": True, "lora_target_modules": [r".*\.[02]\..*(up|down)_proj"]},
}


def described(config: PreTrainedConfig) -> Architecture:
    return parse_model(json.loads(config.to_json_string(use_diff=False)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_parameters_of_every_family_are_counted_exactly(family: str) -> None:
    config = CONFIG_MAPPING[family]()
    config.num_hidden_layers = 2
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)

    assert described(config).parameters == count_parameters(model)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_matrices_of_every_family_are_identified_by_name(family: str) -> None:
    config = CONFIG_MAPPING[family]()
    config.num_hidden_layers = 2
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)

    architecture = described(config)
    named = {architecture.layer_of(1, linear) for linear in architecture.linears}
    assert named == {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D)
        and name.startswith(f"{architecture.path}.1.")
    }


def test_the_adapters_default_targets_match_pefts() -> None:
    theirs = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    assert {name: tuple(theirs[name]) for name in DEFAULT_TARGETS} == DEFAULT_TARGETS


EVERY_STRATEGY = [
    pytest.param(
        model,
        strategy,
        checkpointing,
        id=f"{model}, {strategy}, {'checkpointing' if checkpointing else 'keeping all'}",
    )
    for model in MODELS
    for strategy in STRATEGIES
    for checkpointing in (True, False)
]
SHORT = {
    *(f"llama, {strategy}, checkpointing" for strategy in STRATEGIES),
    *(f"{model}, {strategy}, keeping all" for model in MODELS for strategy in ("full", "LoRA")),
}


@pytest.mark.parametrize(("model", "strategy", "checkpointing"), keeping(SHORT, EVERY_STRATEGY))
def test_a_step_keeps_the_estimated_memory(model: str, strategy: str, checkpointing: bool) -> None:
    config = {**STRATEGIES[strategy], "gradient_checkpointing": checkpointing}
    training = prepare(MODELS[model], config)

    found = measure(training)

    require_exact_parts(training, found)
    assert training.estimated_activations == pytest.approx(found.activations, rel=TOLERANCE)
    assert training.estimated_peak == pytest.approx(found.peak, rel=TOLERANCE)


@pytest.mark.parametrize("adapter", OTHER_ADAPTERS)
def test_other_adapters_are_counted_exactly(adapter: str) -> None:
    training = prepare(MODELS["llama"], OTHER_ADAPTERS[adapter])

    require_exact_parts(training, measure(training))


def test_a_real_model_keeps_the_estimated_memory() -> None:
    config = AutoConfig.from_pretrained(base_model.folder())
    training = prepare(config, {"use_peft": True, "dtype": "bfloat16"})

    found = measure(training)

    require_exact_parts(training, found)
    assert training.estimated_activations == pytest.approx(found.activations, rel=TOLERANCE)
    assert training.estimated_peak == pytest.approx(found.peak, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        pytest.param({"load_in_4bit": True}, {"load_in_4bit": True}, id="4 bits"),
        pytest.param(
            {"load_in_4bit": True, "use_bnb_nested_quant": True},
            {"load_in_4bit": True, "bnb_4bit_use_double_quant": True},
            id="4 bits, nested",
        ),
        pytest.param({"load_in_8bit": True}, {"load_in_8bit": True}, id="8 bits"),
    ],
)
def test_quantized_weights_have_the_estimated_size(
    config: Mapping[str, Any], options: Mapping[str, Any], tmp_path: Path
) -> None:
    size = LlamaConfig(
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=2,
        num_attention_heads=8,
        vocab_size=1000,
    )
    LlamaForCausalLM(size).save_pretrained(tmp_path)

    model = AutoModelForCausalLM.from_pretrained(
        tmp_path,
        quantization_config=BitsAndBytesConfig(bnb_4bit_quant_type="nf4", **options),
        dtype=torch.float32,
    )

    reading = read_config({**config, "use_peft": True})
    strategy = read_strategy(reading, described(size), world_size=1)
    # Nested scales have an offset and a code book for every matrix, whatever its size.
    assert base_weight_bytes(described(size), strategy) == pytest.approx(
        sum(_quantized_bytes(parameter) for parameter in model.parameters()), rel=1e-3
    )


def require_exact_parts(training: Training, found: Measured) -> None:
    estimated = training.estimate
    assert estimated.weights == found.weights
    assert estimated.gradients == found.gradients
    assert estimated.optimizer == found.optimizer


def _quantized_bytes(parameter: Any) -> int:
    def size(tensor: Any) -> int:
        return 0 if tensor is None else int(tensor.numel() * tensor.element_size())

    total = size(parameter) + size(getattr(parameter, "SCB", None))
    state = getattr(parameter, "quant_state", None)
    if state is not None:
        total += size(state.absmax) + (size(state.state2.absmax) if state.nested else 0)
    return total
