# SPDX-License-Identifier: Apache-2.0
"""A complete config in the older spellings that are still in use; it must run unchanged."""

from collections.abc import Mapping
from typing import Any

OLDER_CONFIG: Mapping[str, Any] = {
    "model_name_or_path": "some/model",
    "dataset_id_or_path": "s3://data/set",
    "train_split": "train",
    "validation_split": "validation",
    "system_message": "You answer for the balloon club.",
    "fine_tune_tag": "balloon-v1",
    "upload_to_hf": False,
    "torch_dtype": "bfloat16",
    "max_seq_length": 1024,
    "packing": False,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 8,
    "gradient_checkpointing": True,
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "cosine",
    "warmup_ratio": 0.03,
    "use_peft": True,
    "lora_r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_target_modules": ["q_proj", "v_proj"],
    "load_in_4bit": True,
    "logging_steps": 5,
    "save_strategy": "epoch",
    "eval_strategy": "epoch",
    "report_to": "none",
    "push_to_hub": False,
    "bf16": True,
    "tf32": True,
    "seed": 42,
    "cache_dir": "/models/cache",
}
