# SPDX-License-Identifier: Apache-2.0
"""Advice for a faster run has a figure, and is given only if it applies."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from finetune_spec.config import Context, check_config, read_config
from finetune_spec.job import KnownModel, check_job
from finetune_spec.memory import estimate_memory, parse_model
from finetune_spec.memory.micro_batch import SHARE
from finetune_spec.quantities import render_bytes
from finetune_spec.speed.advice import advise_on_speed, find_advice
from finetune_spec.speed.rules import BUSY_TOKENS, RULES
from finetune_spec.speed.situation import Situation
from gpu.proof.models import SIZES

GIB = 1024**3

SEVEN_BILLION: Mapping[str, Any] = {**SIZES["Qwen2.5 7B"], "torch_dtype": "bfloat16"}
SMALL: Mapping[str, Any] = {**SIZES["SmolLM2 135M"], "torch_dtype": "bfloat16"}
LORA = {"use_peft": True, "dtype": "bfloat16", "max_length": 2048, "packing": True}
KEPT = {**LORA, "activation_checkpointing": False, "per_device_train_batch_size": 1}


def a_situation(
    config: Mapping[str, Any],
    gpu: int | None = 80,
    model: Mapping[str, Any] = SEVEN_BILLION,
    gpus: int = 1,
) -> Situation:
    context = Context(nodes=1, processes_per_node=max(1, gpus), gpus_per_node=gpus, model=model)
    return Situation(
        config=read_config(config),
        model=parse_model(model),
        context=context,
        gpu_bytes=None if gpu is None else gpu * GIB,
    )


def advised(config: Mapping[str, Any], **around: Any) -> list[Mapping[str, Any]]:
    return [advice.settings for advice in find_advice(a_situation(config, **around))]


@pytest.mark.parametrize(
    ("config", "around", "settings"),
    [
        pytest.param({"use_peft": True}, {"gpu": None}, {"dtype": "bfloat16"},
                     id="LoRA on weights in TRL's float32"),
        pytest.param({"use_peft": True, "torch_dtype": "float32"}, {"gpu": None},
                     {"dtype": "bfloat16"}, id="the same by the older name"),
        pytest.param({"use_peft": True}, {"gpu": 24}, {"dtype": "bfloat16"},
                     id="on a GPU that it does not fit, too"),
        pytest.param({**LORA, "per_device_train_batch_size": 1}, {},
                     {"gradient_checkpointing": False}, id="activations that could be kept"),
        pytest.param({**LORA, "per_device_train_batch_size": 1, "activation_checkpointing": True},
                     {}, {"activation_checkpointing": False}, id="by the key that decides"),
        pytest.param({**LORA, "per_device_train_batch_size": 8}, {},
                     {"gradient_checkpointing": False, "per_device_train_batch_size": 4,
                      "gradient_accumulation_steps": 2},
                     id="activations that smaller micro-batches could keep"),
        pytest.param({**KEPT, "gradient_accumulation_steps": 16}, {},
                     {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
                     id="single rows, accumulated"),
        pytest.param({"attn_implementation": "eager", "use_peft": True, "load_in_4bit": True,
                      "activation_checkpointing": False}, {"gpu": None},
                     {"attn_implementation": "sdpa"}, id="eager attention without need"),
        pytest.param({**KEPT, "per_device_train_batch_size": 4}, {"model": SMALL},
                     {"dataloader_num_workers": 2}, id="a small model without workers"),
    ],
)  # fmt: skip
def test_a_faster_setting_is_advised(
    config: Mapping[str, Any], around: Mapping[str, Any], settings: Mapping[str, Any]
) -> None:
    assert settings in advised(config, **around)


@pytest.mark.parametrize(
    ("config", "around"),
    [
        pytest.param({**KEPT, "per_device_train_batch_size": 4}, {}, id="LoRA as it should be"),
        pytest.param({"use_peft": True, "bf16": False, "activation_checkpointing": False},
                     {"gpu": None}, id="float32 that is computed with"),
        pytest.param({"use_peft": True, "fp16": True, "bf16": False}, {"gpu": None}, id="fp16"),
        pytest.param({"use_peft": True, "load_in_4bit": True}, {"gpu": None}, id="4 bits"),
        pytest.param({}, {"gpu": None}, id="the whole model learns in 32 bits"),
        pytest.param({"use_peft": True, "model_init_kwargs": {"dtype": "bfloat16"}}, {"gpu": None},
                     id="the dtype is set elsewhere"),
        pytest.param({"use_peft": True, "deepspeed": {"zero_optimization": {"stage": 2}}},
                     {"gpu": None}, id="DeepSpeed casts the model itself"),
        pytest.param({**LORA, "per_device_train_batch_size": 1}, {"gpu": 20},
                     id="activations have no room"),
        pytest.param({**LORA, "per_device_train_batch_size": 1}, {"gpu": None},
                     id="the GPU is unknown"),
        pytest.param({"use_peft": True, "dtype": "bfloat16", "max_length": 2048,
                      "activation_checkpointing": False, "per_device_train_batch_size": 1,
                      "gradient_accumulation_steps": 16}, {},
                     id="larger batches of padded rows would pad more"),
        pytest.param({**KEPT, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4},
                     {"gpu": 400}, id="passes that are large enough"),
        pytest.param({**KEPT, "gradient_accumulation_steps": 16,
                      "deepspeed": {"train_micro_batch_size_per_gpu": 1}}, {},
                     id="a micro-batch that DeepSpeed's own config names"),
        pytest.param({**KEPT, "dataloader_num_workers": 1}, {"model": SMALL}, id="a worker"),
        pytest.param({**KEPT, "dataset_streaming": True, "max_steps": 3}, {"model": SMALL},
                     id="a stream"),
        pytest.param({"use_peft": True}, {"gpus": 0}, id="a job on CPUs"),
    ],
)  # fmt: skip
def test_advice_that_does_not_apply_is_not_given(
    config: Mapping[str, Any], around: Mapping[str, Any]
) -> None:
    assert advised(config, **around) == []


def test_a_model_with_capped_attention_keeps_eager() -> None:
    capped = {**SEVEN_BILLION, "model_type": "gemma2", "attn_logit_softcapping": 50.0}
    config = {"use_peft": True, "load_in_4bit": True, "attn_implementation": "eager"}

    assert not [it for it in advised(config, model=capped) if "attn_implementation" in it]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.find.__name__.strip("_"))
def test_each_rule_applies_once_and_not_again_after_it_was_followed(rule: Any) -> None:
    cases = [
        a_situation({"use_peft": True}),
        a_situation({**LORA, "per_device_train_batch_size": 1}),
        a_situation({**KEPT, "gradient_accumulation_steps": 16}),
        a_situation({"attn_implementation": "eager"}),
        a_situation(KEPT, model=SMALL),
    ]
    applies = [(case, found) for case in cases if (found := rule.find(case)) is not None]

    assert applies
    for case, found in applies:
        assert rule.find(case.adjusted(found.settings)) is None
        assert re.search(r"\d", found.figure), found.figure


@pytest.mark.parametrize("gpu", [16, 24, 48, 80, 141])
@pytest.mark.parametrize("rows", [1, 2, 6, 8])
def test_all_advice_together_fits_and_keeps_the_effective_batch_size(gpu: int, rows: int) -> None:
    config = {**LORA, "per_device_train_batch_size": rows, "gradient_accumulation_steps": 6}
    before = a_situation(config, gpu=gpu, gpus=2)

    after = before
    for advice in find_advice(before):
        after = after.adjusted(advice.settings)

    assert after.config.effective_batch(2) == before.config.effective_batch(2) == rows * 12
    assert after.config == before.config or after.estimate.total <= SHARE * gpu * GIB


def test_the_figures_are_those_of_the_estimate() -> None:
    before = a_situation({"use_peft": True}, gpu=None)
    [advice] = find_advice(before)

    spared = before.estimate.total - before.adjusted({"dtype": "bfloat16"}).estimate.total
    assert f"need {render_bytes(spared)} more" in advice.figure
    # All matrices and the head, 6 bytes each: the traffic of one pass that casts them.
    matrices = 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944) + 28 * (3584 + 2 * 512)
    assert f"({render_bytes(6 * (matrices + 3584 * 152064))} read and written)" in advice.figure


@pytest.mark.parametrize(
    ("config", "share"),
    [
        pytest.param({"use_peft": True, "load_in_4bit": True}, "33%", id="LoRA: 2 of 2 + 2 + 2"),
        pytest.param({"dtype": "bfloat16"}, "25%", id="a whole model: 2 of 2 + 4 + 2"),
        pytest.param({"dtype": "bfloat16", "activation_checkpointing": True,
                      "activation_checkpointing_kwargs": {"every_n_layers": 2}}, "14%",
                     id="every other layer: 1 of 2 + 4 + 1"),
        pytest.param({"dtype": "bfloat16", "num_layers_unfrozen": 14}, "20%",
                     id="half of the layers: 1 of 2 + 2 + 1"),
    ],
)  # fmt: skip
def test_recomputation_is_counted_in_operations(config: Mapping[str, Any], share: str) -> None:
    small = {**config, "per_device_train_batch_size": 1}
    found = [it.figure for it in find_advice(a_situation(small, gpu=141))]

    assert any(f"recomputing activations takes {share} of all operations" in it for it in found)


def test_the_advice_is_a_warning_at_apply_if_the_model_is_known() -> None:
    spec = {
        "config": {"model_name_or_path": "org/model", "dataset_name": "org/data", **LORA,
                   "torch_dtype": "float32", "per_device_train_batch_size": 1},
        "resources": {"gpusPerNode": 1},
        "output": {"uri": "s3://models/x"},
    }  # fmt: skip
    del spec["config"]["dtype"]

    known = check_job(spec, model=KnownModel(config=SEVEN_BILLION), gpu_bytes=80 * GIB).problems
    unknown = check_job(spec).problems

    assert all(problem.is_warning for problem in known)
    fresh = [str(problem) for problem in known if problem not in unknown]
    assert fresh[0].startswith("spec.config.torch_dtype: set it to bfloat16 for speed: frozen")
    assert fresh[1].startswith("spec.config.gradient_checkpointing: set it to false for speed: ")
    # kubectl shows no more of one.
    assert all(len(text) <= 256 for text in fresh)


def test_a_model_with_too_little_information_gets_no_advice() -> None:
    context = Context(nodes=1, processes_per_node=1, gpus_per_node=1, model={"model_type": "x"})
    config = read_config({"use_peft": True})

    assert [*advise_on_speed("spec.config", config, context, 80 * GIB)] == []


def test_the_advised_config_is_valid() -> None:
    config = {"model_name_or_path": "org/model", "dataset_name": "org/data", **LORA}
    situation = a_situation(config, model=SMALL)

    for advice in find_advice(situation):
        situation = situation.adjusted(advice.settings)

    assert check_config(situation.config, situation.context) == ()
    assert situation.config != read_config(config)
    assert situation.strategy.tokens >= BUSY_TOKENS
    assert estimate_memory(situation.config, situation.model, situation.context).total
