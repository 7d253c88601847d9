# SPDX-License-Identifier: Apache-2.0
"""Valid texts, lists and mappings for each key of TRL, and unknown ones. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """Values for one key."""

    typical: tuple[Any, ...]
    wrong: tuple[Any, ...] = ()
    """Values of the right type that are invalid for the key."""


def _any_text(*typical: str) -> Values:
    return Values(typical=typical)


VALUES: Mapping[str, Values] = {
    "accelerate_config": Values(typical=("ddp", "fsdp2"), wrong=("ddpp",)),
    "accelerator_config": Values(
        typical=(
            {"split_batches": True},
            {"dispatch_batches": False},
            {"use_seedable_sampler": True},
        ),
        wrong=({"split_batchs": True},),
    ),
    "activation_checkpointing_kwargs": Values(typical=({"use_reentrant": False},)),
    "adapter_base_model": _any_text("org/model", "s3://models/tiny"),
    "added_tokens": Values(typical=(["<|tool|>"], [])),
    "attn_implementation": _any_text("sdpa", "eager"),
    "bnb_4bit_quant_storage": Values(typical=("uint8", "bfloat16"), wrong=("uint9",)),
    "chat_template_path": Values(
        typical=("chatml", "qwen3", "templates/chat.jinja", "org/model"), wrong=("chatlm", "lama3")
    ),
    "completion_template": _any_text("{content}"),
    "dataset_columns": Values(typical=({"text": "content"}, {})),
    "dataset_config": _any_text("default"),
    "dataset_kwargs": Values(typical=({"skip_prepare_dataset": False}, {})),
    "dataset_name": _any_text("s3://datasets/balloon", "hf://org/data", "org/data"),
    "dataset_test_split": _any_text("test", "validation"),
    "dataset_text_field": _any_text("text", "content"),
    "dataset_train_split": _any_text("train", "validation"),
    "datasets": Values(
        typical=(
            [{"path": "org/data"}],
            [
                {"path": "s3://datasets/a", "split": "train"},
                {"path": "org/b", "columns": ["messages"]},
            ],
            [{"path": "org/data", "fraction": 0.5}, {"path": "org/b", "fraction": 0.5}],
        ),
        wrong=([{"name": "org/data"}], [{"path": "org/data", "spilt": "train"}]),
    ),
    "debug": Values(
        typical=("underflow_overflow", ["underflow_overflow"]), wrong=("underflow", "")
    ),
    "deepspeed": Values(typical=({"zero_optimization": {"stage": 2}},)),
    "env": Values(typical=({"FUZZED": "1"}, {"FUZZED": 2}, {})),
    "eos_token": _any_text("</s>"),
    "fsdp": Values(typical=("full_shard", "full_shard auto_wrap"), wrong=("ful_shard",)),
    "fsdp_config": Values(typical=({"reshard_after_forward": True}, {})),
    "gradient_checkpointing_kwargs": Values(typical=({"use_reentrant": False},)),
    "hub_model_id": _any_text("org/model"),
    "hub_revision": _any_text("main"),
    "hub_token": _any_text("not-a-token"),
    "include_for_metrics": Values(typical=(["inputs"], ["loss"], [])),
    # TRL's parser reads this key as a boolean, although its help names other values.
    "include_num_input_tokens_seen": Values(
        typical=("no", True, False), wrong=("all", "non_padding", "some")
    ),
    "label_names": Values(typical=(["labels"],)),
    "length_column_name": _any_text("length"),
    "liger_kernel_config": Values(typical=({"rope": True}, {})),
    "lora_modules_to_save": Values(typical=(["embed_tokens"], [])),
    "lora_target_modules": Values(
        typical=("all-linear", ["all-linear"], ["q_proj", "v_proj"], ".*_proj")
    ),
    "lora_target_parameters": Values(typical=(["mlp.gate_proj.weight"],)),
    "lora_task_type": Values(typical=("CAUSAL_LM",), wrong=("CAUSALLM",)),
    "lr_scheduler_kwargs": Values(typical=({},), wrong=({"num_cycle": 2},)),
    "metric_fn": Values(typical=("judge:score",), wrong=("judge", "../judge.py:score", "a.py")),
    "metric_for_best_model": _any_text("eval_loss", "loss"),
    "model_init_kwargs": Values(typical=({"use_cache": False}, {})),
    "model_name_or_path": _any_text("s3://models/tiny", "hf://org/model", "org/model"),
    "model_revision": _any_text("main", "v1.0"),
    "optim_args": Values(typical=("lr_min=1",)),
    "optim_target_modules": Values(typical=(["attn"], "all-linear")),
    "output_dir": _any_text("/tmp/output"),
    "pad_token": _any_text("<pad>"),
    "project": _any_text("balloon"),
    "prompt_template": _any_text("Q: {content}"),
    "report_to": Values(typical=("none", ["none"], "tensorboard"), wrong=("wandbb",)),
    "resume_from_checkpoint": _any_text("/tmp/checkpoint"),
    "run_name": _any_text("balloon-1"),
    "system_message": _any_text("Answer in one sentence."),
    "torch_compile_backend": Values(typical=("inductor",), wrong=("inducktor",)),
    "torch_compile_mode": Values(typical=("default", "reduce-overhead"), wrong=("fast",)),
    "trackio_bucket_id": _any_text("org/bucket"),
    "trackio_space_id": _any_text("org/space"),
    "trackio_static_space_id": Values(typical=("org/space", False)),
}
"""Every key of the schema that is neither a number, nor a boolean, nor one of a few names."""

BEYOND = ("parallelism_config",)
"""Keys whose values YAML cannot express."""
