# SPDX-License-Identifier: Apache-2.0
"""TRL refuses the configs that the rules refuse, for the same reason, and trains those they accept.

A tiny random model on a CPU, with the same functions as in a rank.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from finetune_spec.config import Context
from support.config_verdicts import problems_of
from trainer import imported
from trainer.runs import a_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

USUAL: Mapping[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "max_steps": 1,
    "save_strategy": "no",
    "disable_tqdm": True,
    "dataloader_pin_memory": False,
}
"""As in the plan on a CPU, for one step."""
ON_A_CPU = Context(nodes=1, processes_per_node=1, gpus_per_node=0)
LORA = {"use_peft": True}
EVALUATES = {"eval_strategy": "steps", "eval_steps": 1}
MIXTURE = {"dataset_name": None, "datasets": [{"path": "DATA", "split": "train"}]}
SELECTIVE = {"gradient_checkpointing_kwargs": {"selective": True}}
MIN_LR = {"lr_scheduler_type": "cosine_with_min_lr"}


@pytest.fixture(scope="session")
def little_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    row = json.dumps({"prompt": "Where are you?", "completion": " On the red lightship."}) + "\n"
    rows = (row * 4).encode()
    return a_folder(
        tmp_path_factory.mktemp("data"), {"train.jsonl": rows, "test.jsonl": rows[: len(row)]}
    )


@pytest.fixture(autouse=True)
def own_environment() -> Iterator[None]:
    """TRL and accelerate write into it; and there is no GPU here, wherever the test runs."""
    with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}):
        yield


def train(config: Mapping[str, Any], model: Path, data: Path, work: Path) -> None:
    """One step, as in a rank."""
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.building import build_trainer
    from finetune_trainer.ranks.data.loading import load_data

    imported.keep()
    resolved = {
        "model_name_or_path": str(model),
        "dataset_name": str(data),
        "output_dir": str(work / "out"),
        **USUAL,
        **config,
    }
    if resolved["dataset_name"] is None:
        del resolved["dataset_name"]
    file = work / "config.yaml"
    file.write_text(yaml.safe_dump(resolved).replace("DATA", str(data)))
    arguments = read_arguments(file)
    dataset = load_data(arguments).dataset
    build_trainer(arguments, dataset).train()


def refusals(config: Mapping[str, Any]) -> list[str]:
    good = {"model_name_or_path": "some/model", "dataset_name": "s3://data/set"}
    problems = problems_of({**good, **USUAL, **config}, ON_A_CPU)
    return [str(problem) for problem in problems if not problem.is_warning]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        pytest.param(
            {"load_best_model_at_end": True, "save_strategy": "steps"},
            "requires the save and eval strategy to match",
            id="the best of none",
        ),
        pytest.param(
            {
                "load_best_model_at_end": True,
                "save_strategy": "steps",
                "eval_strategy": "steps",
                "eval_steps": 50,
                "save_steps": 75,
            },
            "round multiple",
            id="no multiple",
        ),
        pytest.param(
            {
                "load_best_model_at_end": True,
                "save_strategy": "steps",
                "eval_strategy": "steps",
                "eval_steps": 0.2,
                "save_steps": 0.3,
            },
            "not a multiple",
            id="shares, no multiple",
        ),
        pytest.param(
            {"save_strategy": "best", **EVALUATES}, "metric_for_best_model", id="best by nothing"
        ),
        pytest.param({"eval_on_start": True}, "requires an eval_dataset", id="evaluates nothing"),
        pytest.param(
            {"lr_scheduler_type": "greedy"}, "requires an eval strategy", id="greedy for nothing"
        ),
        pytest.param(MIN_LR, "min_lr or min_lr_rate", id="no minimum"),
        pytest.param(
            {**MIN_LR, "lr_scheduler_kwargs": {"min_lr": 0.0, "min_lr_rate": 0.1}},
            "Only one of",
            id="two minima",
        ),
        pytest.param(
            {"lr_scheduler_type": "warmup_stable_decay"}, "num_decay_steps", id="no decay"
        ),
        pytest.param({"bf16": True, "fp16": True}, "At most one", id="both halves"),
        pytest.param(
            {"bf16_full_eval": True, "fp16_full_eval": True}, "At most one", id="halves evaluated"
        ),
        pytest.param({"tf32": True}, "tf32 requires", id="tf32 on a CPU"),
        pytest.param({"bf16": True, "use_cpu": False}, "doesn't support bf16", id="no device"),
        pytest.param({"attn_implementation": "flash_attention_3"}, "FlashAttention", id="flash"),
        pytest.param({**LORA, "load_in_4bit": True, "load_in_8bit": True}, "8 bit and 4", id="12"),
        pytest.param({"load_in_4bit": True}, "purely quantized", id="4 bits, full tuning"),
        pytest.param({"load_in_8bit": True}, "purely quantized", id="8 bits, full tuning"),
        pytest.param(
            {
                **LORA,
                "load_in_4bit": True,
                "model_init_kwargs": {"quantization_config": {"load_in_4bit": True}},
            },
            "in only one place",
            id="quantized twice",
        ),
        pytest.param(
            {**LORA, "lora_target_modules": ["q_proj", "lm_head"]}, "lm_head", id="output layer"
        ),
        pytest.param(
            {**SELECTIVE, "gradient_checkpointing": False}, "requires `gradient", id="of nothing"
        ),
        pytest.param(
            {"gradient_checkpointing_kwargs": {"selective": True, "use_reentrant": True}},
            "non-reentrant",
            id="selected and reentrant",
        ),
        pytest.param(
            {
                "use_liger_kernel": True,
                "liger_kernel_config": {"fused_linear_cross_entropy": True},
            },
            "fused_linear_cross_entropy",
            id="two fused losses",
        ),
        pytest.param({"packing": True, "max_length": None}, "can't be `None`", id="packs"),
        pytest.param(
            {"eval_packing": True, "max_length": None, **EVALUATES}, "can't be `None`", id="of eval"
        ),
        pytest.param({"padding_free": True}, "not enforced", id="padding-free"),
        pytest.param(
            {"dataset_streaming": True, "max_steps": -1}, "max_steps has to be", id="endless"
        ),
        pytest.param(
            {**MIXTURE, "streaming": True, "test_split_size": 0.5}, "train_test_split", id="split"
        ),
        pytest.param(
            {**MIXTURE, "streaming": True, "datasets": [{"path": "DATA", "fraction": 0.5}]},
            "not supported with streaming",
            id="a fraction of a stream",
        ),
        pytest.param(
            {
                **MIXTURE,
                "datasets": [
                    {"path": "DATA", "split": "train", "fraction": 0.5},
                    {"path": "DATA", "split": "test"},
                ],
            },
            "either all datasets",
            id="one fraction of two",
        ),
        pytest.param({**MIXTURE, **EVALUATES}, "has only train", id="no test split"),
        pytest.param(
            {**MIXTURE, "dataset_train_split": "train_sft"}, "has only train", id="another split"
        ),
        pytest.param(
            {"dataloader_prefetch_factor": 2}, "prefetch_factor", id="prefetching without workers"
        ),
        pytest.param(
            {"dataloader_persistent_workers": True},
            "num_workers",
            id="persistent workers without workers",
        ),
        pytest.param({"fsdp": "hybrid_shard"}, "only available with FSDP1", id="a word of FSDP 1"),
        pytest.param(
            {"fsdp": "full_shard", "fsdp_config": {"auto_wrap_policy": "WRAP"}},
            "auto_wrap_policy",
            id="a policy that is none",
        ),
        pytest.param(
            {
                "accelerator_config": {"gradient_accumulation_kwargs": {"num_steps": 2}},
                "gradient_accumulation_steps": 2,
            },
            "num_steps",
            id="accumulated twice",
        ),
    ],
)
def test_trl_refuses_a_refused_config_for_the_same_reason(
    config: dict[str, Any], reason: str, tiny_model: Path, little_data: Path, tmp_path: Path
) -> None:
    assert refusals(config) != []
    with pytest.raises(Exception, match=reason):
        train(config, tiny_model, little_data, tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(
            {
                "load_best_model_at_end": True,
                "save_strategy": "steps",
                "save_steps": 1,
                **EVALUATES,
            },
            id="the best",
        ),
        pytest.param({"load_best_model_at_end": True}, id="the best of nothing"),
        pytest.param({"load_best_model_at_end": True, "save_strategy": "best"}, id="nor saved"),
        pytest.param({"save_strategy": "best", "metric_for_best_model": "loss"}, id="never saved"),
        pytest.param(
            {"load_best_model_at_end": True, "save_strategy": "best", **EVALUATES}, id="best saved"
        ),
        pytest.param({"eval_on_start": True, **EVALUATES}, id="evaluates first"),
        pytest.param({"lr_scheduler_type": "greedy", **EVALUATES}, id="greedy"),
        pytest.param({**MIN_LR, "lr_scheduler_kwargs": {"min_lr_rate": 0.1}}, id="a minimum"),
        pytest.param({**MIN_LR, "lr_scheduler_kwargs": '{"min_lr": 0}'}, id="a minimum in JSON"),
        pytest.param({"bf16": True}, id="bf16 on a CPU"),
        pytest.param({"fp16": True}, id="fp16 on a CPU"),
        pytest.param({**LORA, "load_in_4bit": True}, id="4 bits"),
        pytest.param({**LORA, "load_in_8bit": True}, id="8 bits"),
        pytest.param({**LORA, "lora_target_modules": ["q_proj", "v_proj"]}, id="two targets"),
        pytest.param({**LORA, "lora_target_modules": [".*q_proj"]}, id="a pattern"),
        pytest.param({**LORA, "lora_modules_to_save": ["lm_head"]}, id="the output layer whole"),
        pytest.param({"use_peft": False, "lora_r": 8}, id="LoRA switched off"),
        pytest.param(SELECTIVE, id="selected"),
        pytest.param(
            {**SELECTIVE, "gradient_checkpointing": False, "activation_checkpointing": True},
            id="the newer key wins",
        ),
        pytest.param({"packing": True, "max_length": 64}, id="packing"),
        pytest.param(
            {"packing": True, "packing_strategy": "wrapped", "completion_only_loss": True},
            id="packing with a mask",
        ),
        pytest.param(
            {"eval_packing": True, "max_length": None}, id="evaluation packing without evaluation"
        ),
        pytest.param({"padding_free": True, "max_length": None}, id="padding-free"),
        pytest.param({"attn_implementation": "flash_attention_2"}, id="flash attention's name"),
        pytest.param(
            {"attn_implementation": "flash_attention_2", "packing": True, "max_length": 64},
            id="flash attention's name, packed",
        ),
        pytest.param({"dataset_streaming": True, "dataset_num_proc": 2}, id="a stream"),
        pytest.param(
            {"dataset_streaming": True, "train_sampling_strategy": "group_by_length"},
            id="a stream by length",
        ),
        pytest.param({**MIXTURE, **EVALUATES, "test_split_size": 0.5}, id="a mixture split"),
        pytest.param({**MIXTURE, **EVALUATES, "dataset_test_split": "train"}, id="known rows"),
        pytest.param({**MIXTURE, "streaming": True}, id="a mixture as a stream"),
        pytest.param({"fsdp_config": {"version": 2}}, id="FSDP that is not on"),
        pytest.param({"streaming": True}, id="a key of a mixture"),
        pytest.param(
            {"test_split_size": 0.5, "dataset_test_split": "held_out", **EVALUATES},
            id="a part that is split off",
        ),
        pytest.param({"num_train_epochs": 3, "max_steps": 1}, id="steps win"),
        pytest.param(
            {"lr_scheduler_type": "constant", "warmup_steps": 3}, id="a constant that warms up"
        ),
    ],
)
def test_an_accepted_config_trains(
    config: dict[str, Any], tiny_model: Path, little_data: Path, tmp_path: Path
) -> None:
    assert refusals(config) == []
    train(config, tiny_model, little_data, tmp_path)
