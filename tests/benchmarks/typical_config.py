# SPDX-License-Identifier: Apache-2.0
"""The config that benchmarks check. It imports none of our modules: older operators are timed
too.
"""

from collections.abc import Mapping
from typing import Any

TYPICAL: Mapping[str, Any] = {
    "model_name_or_path": "Qwen/Qwen2.5-7B-Instruct",
    "dataset_name": "s3://datasets/balloon",
    "dataset_test_split": "validation",
    "dtype": "bfloat16",
    "attn_implementation": "sdpa",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "use_bnb_nested_quant": True,
    "use_peft": True,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_target_modules": "all-linear",
    "num_train_epochs": 1,
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "gradient_checkpointing": True,
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.03,
    "max_grad_norm": 0.3,
    "max_length": 2048,
    "packing": True,
    "eval_strategy": "steps",
    "eval_steps": 200,
    "save_steps": 200,
    "logging_steps": 10,
    "seed": 42,
    "optim": "paged_adamw_8bit",
}
"""Thirty keys, as in many tutorials."""
