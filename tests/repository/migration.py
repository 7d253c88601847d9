# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/user/migration.md: the treatment of another tool's keys, with our check's
messages.

`make generate` writes them; a test compares.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from repository.marked_blocks import with_blocks
from support.config_verdicts import problems_of

PAGE = Path(__file__).parents[2] / "docs" / "user" / "migration.md"
_UNKNOWN = re.compile(r"(?:found .*?, )?not a key of TRL's SFT config, (.*)", re.DOTALL)

KEYS: Mapping[str, Mapping[str, Any]] = {
    "LLaMA-Factory": {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_target": "all",
        "quantization_bit": 4,
        "dataset": "identity",
        "dataset_dir": "data",
        "template": "llama3",
        "cutoff_len": 2048,
        "max_samples": 1000,
        "preprocessing_num_workers": 16,
        "overwrite_cache": True,
        "output_dir": "saves/llama3",
        "overwrite_output_dir": True,
        "plot_loss": True,
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": 1.0e-4,
        "num_train_epochs": 3.0,
        "lr_scheduler_type": "cosine",
        "warmup_ratio": 0.1,
        "bf16": True,
        "val_size": 0.1,
        "eval_steps": 500,
        "flash_attn": "fa2",
        "neat_packing": True,
        "train_on_prompt": True,
        "freeze_trainable_layers": 2,
        "enable_liger_kernel": True,
        "resume_from_checkpoint": "last",
    },
    "Axolotl": {
        "base_model": "NousResearch/Llama-3.2-1B",
        "model_type": "LlamaForCausalLM",
        "tokenizer_type": "AutoTokenizer",
        "load_in_4bit": True,
        "adapter": "qlora",
        "lora_r": 32,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "lora_target_linear": True,
        "lora_modules_to_save": ["embed_tokens"],
        "dataset_prepared_path": "last_run_prepared",
        "val_set_size": 0.1,
        "sequence_len": 2048,
        "sample_packing": True,
        "pad_to_sequence_len": True,
        "micro_batch_size": 2,
        "gradient_accumulation_steps": 4,
        "num_epochs": 1,
        "optimizer": "adamw_8bit",
        "lr_scheduler": "cosine",
        "learning_rate": 2.0e-4,
        "bf16": "auto",
        "gradient_checkpointing": True,
        "flash_attention": True,
        "warmup_steps": 10,
        "evals_per_epoch": 4,
        "saves_per_epoch": 1,
        "train_on_inputs": False,
        "group_by_length": False,
        "chat_template": "chatml",
        "special_tokens": {"pad_token": "<|end_of_text|>"},
        "unfrozen_parameters": ["model.layers.2[0-9]+"],
        "wandb_project": "balloon",
        "output_dir": "./outputs",
    },
    "fms-hf-tuning": {
        "training_data_path": "twitter_complaints.jsonl",
        "validation_data_path": "validation.jsonl",
        "data_config_path": "data_config.yaml",
        "output_dir": "/tmp/out",
        "save_model_dir": "/tmp/out/model",
        "num_train_epochs": 5,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 4,
        "learning_rate": 1.0e-5,
        "response_template": "### Response:",
        "dataset_text_field": "output",
        "data_formatter_template": "### Input: {{input}}",
        "peft_method": "lora",
        "r": 8,
        "lora_alpha": 16,
        "target_modules": ["q_proj", "v_proj"],
        "lora_post_process_for_vllm": True,
        "use_flash_attn": True,
        "torch_dtype": "bfloat16",
        "tokenizer_name_or_path": "ibm-granite/granite-3.1-8b-base",
        "max_seq_length": 4096,
        "packing": False,
        "multipack": [16],
        "fast_lora": ["auto_gptq", "True"],
        "fast_moe": [1],
        "embedding_size_multiple_of": 8,
        "add_special_tokens": ["<x>"],
        "trackers": ["aim"],
        "aim_repo": "/data/aim",
        "trainer_controller_config_file": "controller.yaml",
        "num_virtual_tokens": 8,
        "enable_reduce_loss_sum": True,
    },
}
"""The keys of their examples, with values from there."""

BESIDE: Mapping[str, Mapping[str, Any]] = {
    "eval_steps": {"eval_strategy": "steps"},
    "lora_alpha": {"lora_r": 16},
}
"""The other keys that a key requires."""


def with_tables(page: str) -> str:
    """The page with its correct tables."""
    return with_blocks(page, _table)


def _table(tool: str) -> Iterator[str]:
    yield from (f"| {tool} | here |", "| --- | --- |")
    for key, value in KEYS[tool].items():
        yield f"| `{_shown(key, value)}` | {answer(key, value)} |"


def answer(key: str, value: Any) -> str:
    """The response of `kubectl apply` to this key with a model and data, or that it is
    unchanged.
    """
    config = {
        "model_name_or_path": "m",
        "dataset_name": "d",
        "use_peft": True,
        **BESIDE.get(key, {}),
    }
    problems = [it for it in problems_of({**config, key: value}) if it.path.startswith(key)]
    if not problems:
        return "the same"
    told = [_UNKNOWN.sub(r"\1", problem.message) for problem in problems]
    return "; ".join(told).replace("|", "\\|")


def _shown(key: str, value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n")
    return f"{key}: {text.strip()}".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
