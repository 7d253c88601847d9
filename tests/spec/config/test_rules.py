# SPDX-License-Identifier: Apache-2.0
"""Values that must agree: evaluation, saving, precision."""

from typing import Any

import pytest

from support.config_verdicts import refusals

EVALUATES = {"eval_strategy": "steps", "eval_steps": 50}
LORA = {"use_peft": True}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"load_best_model_at_end": True},
            "load_best_model_at_end: found true without evaluations to select a model by: set "
            "eval_strategy to steps",
            id="the best of none",
        ),
        pytest.param(
            {"load_best_model_at_end": True, "eval_strategy": "epoch"},
            'load_best_model_at_end: found true together with eval_strategy: "epoch" and '
            'save_strategy: "steps", expected both to be the same',
            id="two strategies",
        ),
        pytest.param(
            {"load_best_model_at_end": True, **EVALUATES, "save_steps": 75},
            "save_steps: found 75, expected a multiple of eval_steps (50), for "
            "load_best_model_at_end",
            id="no multiple",
        ),
        pytest.param(
            {"load_best_model_at_end": True, **EVALUATES, "save_steps": 0.5},
            "save_steps: found 0.5, expected a share of the training as eval_steps (50) is, or "
            "both in steps",
            id="a share and steps",
        ),
        pytest.param(
            {"load_best_model_at_end": True, **EVALUATES, "eval_steps": 0.2, "save_steps": 0.3},
            "save_steps: found 0.3, expected a multiple of eval_steps (0.2), for "
            "load_best_model_at_end",
            id="shares, no multiple",
        ),
        pytest.param(
            {"save_strategy": "best", **EVALUATES},
            'save_strategy: found "best" without metric_for_best_model: set it, e.g. to eval_loss',
            id="best by nothing",
        ),
        pytest.param(
            {"eval_on_start": True},
            "eval_on_start: found true without evaluations: set eval_strategy to "
            '"steps" or "epoch"',
            id="evaluates before nothing",
        ),
        pytest.param(
            {"lr_scheduler_type": "reduce_lr_on_plateau"},
            'lr_scheduler_type: found "reduce_lr_on_plateau" without evaluations: set '
            'eval_strategy to "steps" or "epoch"',
            id="a plateau of nothing",
        ),
        pytest.param(
            {"lr_scheduler_type": "cosine_with_min_lr"},
            'lr_scheduler_type: found "cosine_with_min_lr" without min_lr_rate: set it in '
            "lr_scheduler_kwargs",
            id="no minimum",
        ),
        pytest.param(
            {
                "lr_scheduler_type": "cosine_with_min_lr",
                "lr_scheduler_kwargs": {"min_lr": 1e-6, "min_lr_rate": 0.1},
            },
            "lr_scheduler_kwargs: found min_lr and min_lr_rate, expected only one of them",
            id="two minima",
        ),
        pytest.param(
            {"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
            'lr_scheduler_kwargs.min_lr: not an option of lr_scheduler_type: "cosine", which '
            "cosine_with_min_lr and cosine_warmup_with_min_lr would take",
            id="an option of another scheduler",
        ),
        pytest.param(
            {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"powr": 2}},
            'lr_scheduler_kwargs.powr: not an option of lr_scheduler_type: "polynomial", did you '
            "mean power?",
            id="an option misspelt",
        ),
        pytest.param(
            {"num_train_epochs": 0},
            "num_train_epochs: found 0, expected above 0: nothing would be trained",
            id="no epoch",
        ),
        pytest.param(
            {"lr_scheduler_type": "warmup_stable_decay"},
            'lr_scheduler_type: found "warmup_stable_decay" without num_decay_steps: set it in '
            "lr_scheduler_kwargs",
            id="a decay of unknown length",
        ),
    ],
)
def test_an_impossible_schedule_is_refused(config: dict[str, Any], sentence: str) -> None:
    assert refusals(config) == [sentence]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"load_best_model_at_end": True, **EVALUATES, "save_steps": 100}, id="best"),
        pytest.param(
            {"load_best_model_at_end": True, **EVALUATES, "eval_steps": 0.1, "save_steps": 0.3},
            id="shares that are multiples",
        ),
        pytest.param(
            {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "epoch"},
            id="by epochs",
        ),
        pytest.param(
            {"load_best_model_at_end": True, "save_strategy": "best", **EVALUATES}, id="save best"
        ),
        pytest.param(
            {"save_strategy": "best", "metric_for_best_model": "eval_loss", **EVALUATES},
            id="best by the loss",
        ),
        pytest.param({"eval_on_start": True, **EVALUATES}, id="evaluates first"),
        pytest.param({"num_train_epochs": 0, "max_steps": 10}, id="steps instead of epochs"),
        pytest.param(
            {"lr_scheduler_type": "constant", "lr_scheduler_kwargs": {"anything": 1}},
            id="options of a scheduler that takes none",
        ),
        pytest.param({"lr_scheduler_type": "greedy", **EVALUATES}, id="greedy"),
        pytest.param(
            {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
            id="a minimum",
        ),
        pytest.param(
            {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": '{"min_lr": 1e-6}'},
            id="a minimum in JSON",
        ),
    ],
)
def test_a_possible_schedule_is_accepted(config: dict[str, Any]) -> None:
    assert refusals(config) == []


@pytest.mark.parametrize(
    ("config", "gpus", "sentence"),
    [
        pytest.param(
            {"bf16": True, "fp16": True},
            1,
            "fp16: found true together with bf16: true, expected only one of them; bf16 if the "
            "GPU supports it",
            id="both halves",
        ),
        pytest.param(
            {"bf16_full_eval": True, "fp16_full_eval": True},
            1,
            "fp16_full_eval: found true together with bf16_full_eval: true, expected only one of "
            "them",
            id="both halves to evaluate",
        ),
        pytest.param(
            {"fp16": True, "dtype": "float16"},
            1,
            'dtype: found "float16" together with fp16: true, which requires weights in "float32"',
            id="halves that can't be scaled",
        ),
        pytest.param(
            {"fp16": True, "torch_dtype": "float16"},
            1,
            'torch_dtype: found "float16" together with fp16: true, which requires weights in '
            '"float32"',
            id="in the older spelling",
        ),
        pytest.param(
            {"attn_implementation": "flash_attention_2", "bf16": False},
            1,
            'attn_implementation: found "flash_attention_2" together with bf16: false and dtype: '
            '"float32", which it does not support: remove bf16',
            id="flash attention in float32",
        ),
        pytest.param(
            {"attn_implementation": "flash_attention_3"},
            0,
            'attn_implementation: found "flash_attention_3" in a job without GPUs: remove it, or '
            "request GPUs in spec.resources.gpusPerNode",
            id="flash attention on CPUs",
        ),
        pytest.param(
            {"tf32": True},
            0,
            "tf32: found true in a job without GPUs: remove it, or request GPUs in "
            "spec.resources.gpusPerNode",
            id="tf32 on CPUs",
        ),
        pytest.param(
            {"use_liger_kernel": True},
            0,
            "use_liger_kernel: found true in a job without GPUs: remove it, or request GPUs in "
            "spec.resources.gpusPerNode",
            id="Liger on CPUs",
        ),
        pytest.param(
            {"activation_offloading": True},
            0,
            "activation_offloading: found true in a job without GPUs: remove it, or request GPUs "
            "in spec.resources.gpusPerNode",
            id="offloading to itself",
        ),
        pytest.param(
            {"use_cpu": False, "bf16": True},
            0,
            "use_cpu: found false together with bf16: true in a job without GPUs: remove it",
            id="no CPU and no GPU",
        ),
        pytest.param(
            {"use_cpu": True},
            2,
            "use_cpu: found true in a job with 2 GPUs per node: remove it, or set "
            "spec.resources.gpusPerNode to 0",
            id="GPUs that would idle",
        ),
    ],
)
def test_a_setting_that_the_hardware_does_not_support_is_refused(
    config: dict[str, Any], gpus: int, sentence: str
) -> None:
    assert refusals(config, gpus_per_node=gpus) == [sentence]


@pytest.mark.parametrize(
    ("config", "gpus"),
    [
        pytest.param({"bf16": True}, 1, id="bf16"),
        pytest.param({"bf16": True}, 0, id="bf16 on CPUs"),
        pytest.param({"fp16": True}, 1, id="fp16 alone"),
        pytest.param({"fp16": True, "dtype": "float16", **LORA}, 1, id="an adapter in float32"),
        pytest.param({"attn_implementation": "flash_attention_2"}, 1, id="flash attention"),
        pytest.param(
            {"attn_implementation": "flash_attention_2", "bf16": False, "dtype": "bfloat16"},
            1,
            id="flash attention in bfloat16",
        ),
        pytest.param({"attn_implementation": "sdpa"}, 0, id="sdpa on CPUs"),
        pytest.param({"attn_implementation": "flash_attention_2"}, 0, id="its replacement on CPUs"),
        pytest.param({"tf32": True, "activation_offloading": True}, 1, id="a GPU's options"),
        pytest.param({"tf32": True, "activation_offloading": True}, None, id="nobody knows"),
        pytest.param({"use_cpu": True}, 0, id="CPU on CPUs"),
        pytest.param({"use_cpu": True}, None, id="CPU anywhere"),
    ],
)
def test_a_setting_that_the_hardware_supports_is_accepted(
    config: dict[str, Any], gpus: int | None
) -> None:
    assert refusals(config, gpus_per_node=gpus) == []


def test_a_rule_does_not_report_a_value_that_is_invalid_itself() -> None:
    config = {"load_best_model_at_end": True, "eval_strategy": "stepz", "save_steps": 100}

    assert refusals(config) == ['eval_strategy: found "stepz", did you mean steps?']
