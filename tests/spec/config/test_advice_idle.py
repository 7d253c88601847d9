# SPDX-License-Identifier: Apache-2.0
"""A key that TRL ignores because of another one is named, with the reason."""

from typing import Any

import pytest

from support.config_verdicts import warnings

MIXTURE = {"dataset_name": None, "datasets": [{"path": "s3://data/a"}]}
STREAM = {"dataset_streaming": True, "max_steps": 100}
EVALUATES = {"eval_strategy": "steps", "eval_steps": 50}


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param(
            {"eval_steps": 50},
            'eval_steps: has no effect while eval_strategy is "no": set it to "steps" or "epoch" '
            "to evaluate",
            id="evaluations that are not on",
        ),
        pytest.param(
            {"eval_strategy": "epoch", "eval_steps": 50},
            'eval_steps: has no effect while eval_strategy is "epoch"',
            id="steps with epochs",
        ),
        pytest.param(
            {"save_strategy": "epoch", "save_steps": 50},
            'save_steps: has no effect while save_strategy is "epoch"',
            id="saving by epochs",
        ),
        pytest.param(
            {"logging_strategy": "epoch", "logging_steps": 5},
            'logging_steps: has no effect while logging_strategy is "epoch"',
            id="logging by epochs",
        ),
        pytest.param(
            {"load_best_model_at_end": True, "save_strategy": "no"},
            'load_best_model_at_end: has no effect while eval_strategy is "no": set it to "steps" '
            'or "epoch" to evaluate',
            id="nothing saved, nothing evaluated",
        ),
        pytest.param(
            {"max_steps": 100, "num_train_epochs": 3},
            "num_train_epochs: has no effect beside max_steps: 100",
            id="steps and epochs",
        ),
        pytest.param(
            {"lr_scheduler_type": "constant", "warmup_steps": 10},
            'warmup_steps: has no effect with lr_scheduler_type: "constant": use '
            '"constant_with_warmup"',
            id="a constant that warms up",
        ),
        pytest.param(
            {"use_peft": False, "lora_r": 16},
            "lora_r: has no effect while use_peft is false",
            id="LoRA that was switched off",
        ),
        pytest.param(
            {"bnb_4bit_quant_type": "fp4"},
            "bnb_4bit_quant_type: has no effect without load_in_4bit: true",
            id="a kind of 4 bits",
        ),
        pytest.param(
            {"gradient_checkpointing": False, "activation_checkpointing": True},
            "gradient_checkpointing: has no effect together with activation_checkpointing: true",
            id="the older of two keys",
        ),
        pytest.param(
            {
                "activation_checkpointing": False,
                "activation_checkpointing_kwargs": {"use_reentrant": False},
            },
            "activation_checkpointing_kwargs: has no effect while activation_checkpointing is off",
            id="options of nothing",
        ),
        pytest.param(
            {"liger_kernel_config": {"rope": True}},
            "liger_kernel_config: has no effect without use_liger_kernel: true",
            id="options of no Liger",
        ),
        pytest.param(
            {"streaming": True},
            "streaming: has no effect without datasets: it applies to mixtures; for "
            "dataset_name, use dataset_streaming",
            id="a mixture's streaming",
        ),
        pytest.param(
            {**MIXTURE, "dataset_name": "s3://data/set"},
            "dataset_name: has no effect with datasets: add it there, or remove one of them",
            id="one dataset and a mixture",
        ),
        pytest.param(
            {**STREAM, "dataset_num_proc": 4},
            "dataset_num_proc: has no effect while dataset_streaming is true",
            id="many for one stream",
        ),
        pytest.param(
            {**STREAM, "train_sampling_strategy": "group_by_length"},
            "train_sampling_strategy: has no effect while dataset_streaming is true",
            id="a stream by length",
        ),
        pytest.param(
            {"hub_model_id": "me/model"},
            "hub_model_id: has no effect without push_to_hub: true",
            id="a name on the hub",
        ),
        pytest.param(
            {"trackio_space_id": "me/space", "report_to": "none"},
            "trackio_space_id: has no effect unless report_to includes trackio",
            id="trackio that is not on",
        ),
        pytest.param(
            {"fsdp_config": {"cpu_offload": True}},
            "fsdp_config: has no effect without fsdp: true: the model would not be sharded",
            id="FSDP that is not on",
        ),
    ],
)
def test_a_key_that_trl_ignores_is_named(config: dict[str, Any], sentence: str) -> None:
    assert [told for told in warnings(config) if "has no effect" in told] == [sentence]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        pytest.param({"fp16": True}, "fp16: has no effect in a job without GPUs", id="fp16"),
        pytest.param(
            {"fsdp": "full_shard"}, "fsdp: has no effect in a job without GPUs", id="FSDP"
        ),
    ],
)
def test_a_setting_without_effect_on_cpus_is_named(config: dict[str, Any], sentence: str) -> None:
    assert warnings(config, gpus_per_node=0) == [sentence]
    assert warnings(config, gpus_per_node=1) == []
