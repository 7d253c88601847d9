# SPDX-License-Identifier: Apache-2.0
"""Keys that depend on each other, drawn together: some agree and some do not. Pure."""

from collections.abc import Mapping
from typing import Any

TRUE_OR_FALSE = (True, False)
_STRATEGIES = ("no", "steps", "epoch")

COMBINATIONS: tuple[Mapping[str, tuple[Any, ...]], ...] = (
    {"fp16": TRUE_OR_FALSE, "bf16": (True, False, None)},
    {"fp16_full_eval": TRUE_OR_FALSE, "bf16_full_eval": TRUE_OR_FALSE},
    {"bf16": TRUE_OR_FALSE, "use_cpu": TRUE_OR_FALSE},
    {"tf32": (True, False, None), "torch_compile": (False,)},
    {"load_in_4bit": TRUE_OR_FALSE, "load_in_8bit": TRUE_OR_FALSE, "use_peft": TRUE_OR_FALSE},
    {"load_in_4bit": (True,), "use_peft": TRUE_OR_FALSE, "dtype": ("bfloat16", "float16", "auto")},
    {
        "load_in_4bit": TRUE_OR_FALSE,
        "bnb_4bit_quant_type": ("nf4", "fp4"),
        "use_bnb_nested_quant": TRUE_OR_FALSE,
        "use_peft": (True,),
    },
    {
        "load_best_model_at_end": TRUE_OR_FALSE,
        "eval_strategy": _STRATEGIES,
        "save_strategy": (*_STRATEGIES, "best"),
    },
    {
        "load_best_model_at_end": (True,),
        "eval_strategy": ("steps",),
        "save_strategy": ("steps",),
        "eval_steps": (50, 100, 0.1),
        "save_steps": (100, 75, 50, 0.2, 0.25),
    },
    {"save_strategy": ("best",), "metric_for_best_model": ("eval_loss", None)},
    {
        "lr_scheduler_type": ("reduce_lr_on_plateau", "greedy", "cosine"),
        "eval_strategy": _STRATEGIES,
    },
    {
        "lr_scheduler_type": ("cosine_with_min_lr", "cosine_warmup_with_min_lr"),
        "lr_scheduler_kwargs": ({"min_lr": 1e-6}, {"min_lr_rate": 0.1}, {}, None),
    },
    {
        "lr_scheduler_type": ("polynomial", "linear"),
        "lr_scheduler_kwargs": ({"lr_end": 1e-7, "power": 2.0}, None),
    },
    {
        "lr_scheduler_type": ("warmup_stable_decay",),
        "lr_scheduler_kwargs": ({"num_decay_steps": 2}, None),
    },
    {
        "lr_scheduler_type": ("cosine_with_restarts", "constant_with_warmup"),
        "lr_scheduler_kwargs": ({"num_cycles": 2}, None),
    },
    {"logging_strategy": _STRATEGIES, "logging_steps": (1, 10, 0.1)},
    {"eval_strategy": ("steps",), "eval_steps": (10, None), "logging_steps": (5, 0.5)},
    {"dataloader_num_workers": (0, 2), "dataloader_prefetch_factor": (2, None)},
    {"dataloader_num_workers": (0, 2), "dataloader_persistent_workers": TRUE_OR_FALSE},
    {
        "packing": TRUE_OR_FALSE,
        "packing_strategy": ("bfd", "bfd_split", "wrapped"),
        "padding_free": TRUE_OR_FALSE,
        "max_length": (128, None),
    },
    {"packing": TRUE_OR_FALSE, "eval_packing": (True, False, None), "eval_strategy": ("epoch",)},
    {"packing": TRUE_OR_FALSE, "assistant_only_loss": TRUE_OR_FALSE},
    {
        "padding_free": TRUE_OR_FALSE,
        "per_device_train_batch_size": (1, 2),
        "max_length": (64, None),
    },
    {"assistant_only_loss": TRUE_OR_FALSE, "completion_only_loss": (True, False, None)},
    {"use_peft": TRUE_OR_FALSE, "lora_r": (8,), "lora_target_modules": ("all-linear", ["q_proj"])},
    {"use_peft": (True,), "use_dora": TRUE_OR_FALSE, "use_rslora": TRUE_OR_FALSE},
    {"use_peft": (True,), "lora_target_modules": (["lm_head"], ["q_proj"])},
    {"use_peft": (True,), "lora_modules_to_save": (["lm_head"], ["embed_tokens"])},
    {
        "gradient_checkpointing": TRUE_OR_FALSE,
        "activation_checkpointing": (True, False, None),
        "gradient_checkpointing_kwargs": ({"use_reentrant": False}, {"selective": True}, None),
    },
    {"max_steps": (2, -1), "num_train_epochs": (1, 0.5)},
    {"loss_type": ("nll", "dft"), "label_smoothing_factor": (0.0, 0.1)},
    {"dataset_streaming": TRUE_OR_FALSE, "max_steps": (2, -1)},
    {"datasets": ([{"path": "org/data"}],), "streaming": TRUE_OR_FALSE, "max_steps": (2, -1)},
    {"push_to_hub": TRUE_OR_FALSE, "hub_model_id": ("org/model", None)},
    {"optim": ("adamw_torch", "adafactor", "sgd"), "optim_args": ("momentum=0.9", None)},
    {"greater_is_better": (True, False, None), "metric_for_best_model": ("eval_loss", None)},
    {
        "fsdp": ("full_shard",),
        "fsdp_config": ({"auto_wrap_policy": "TRANSFORMER_BASED_WRAP"}, None),
    },
    {"fsdp": ("full_shard",), "deepspeed": ({"zero_optimization": {"stage": 2}},)},
    {"deepspeed": ({"zero_optimization": {"stage": 3}},), "load_in_4bit": TRUE_OR_FALSE},
    {"activation_offloading": TRUE_OR_FALSE, "activation_checkpointing": TRUE_OR_FALSE},
    {"torch_compile": (False,), "torch_compile_backend": (None,), "torch_compile_mode": (None,)},
    {"eval_on_start": TRUE_OR_FALSE, "eval_strategy": _STRATEGIES},
    {"use_liger_kernel": (False,), "liger_kernel_config": ({"rope": True}, None)},
    {"save_only_model": TRUE_OR_FALSE, "load_best_model_at_end": (False,)},
    {"save_total_limit": (1, 2), "save_strategy": ("steps", "no")},
    {"auto_find_batch_size": TRUE_OR_FALSE, "per_device_train_batch_size": (2,)},
    {"truncation_mode": ("keep_start", "keep_end"), "max_length": (64, None)},
    {"train_sampling_strategy": ("group_by_length", "sequential"), "packing": TRUE_OR_FALSE},
)
