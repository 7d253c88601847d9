# SPDX-License-Identifier: Apache-2.0
"""Keys in a section of their own (`lora: {r: 8}`), where TRL has all at the top. No I/O here."""

from collections.abc import Mapping

from finetune_spec.config.parse.schema import Schema
from finetune_spec.config.suggest.nearest import exact_key, normalize

_LORA = {
    "r": "lora_r",
    "rank": "lora_r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "target_modules": "lora_target_modules",
    "target_parameters": "lora_target_parameters",
    "modules_to_save": "lora_modules_to_save",
    "task_type": "lora_task_type",
    "enabled": "use_peft",
}
_MODEL = {
    "name": "model_name_or_path",
    "path": "model_name_or_path",
    "id": "model_name_or_path",
    "uri": "model_name_or_path",
    "name_or_path": "model_name_or_path",
    "revision": "model_revision",
    "type": "dtype",
}
_DATA = {
    "name": "dataset_name",
    "path": "dataset_name",
    "id": "dataset_name",
    "uri": "dataset_name",
    "config": "dataset_config",
    "text_field": "dataset_text_field",
    "num_proc": "dataset_num_proc",
    "streaming": "dataset_streaming",
    "shuffle": "shuffle_dataset",
    "train": "dataset_train_split",
    "test": "dataset_test_split",
    "validation": "dataset_test_split",
}
_OPTIMIZER = {
    "name": "optim",
    "type": "optim",
    "lr": "learning_rate",
    "beta1": "adam_beta1",
    "beta2": "adam_beta2",
    "args": "optim_args",
}
_SCHEDULER = {
    "name": "lr_scheduler_type",
    "type": "lr_scheduler_type",
    "kwargs": "lr_scheduler_kwargs",
    "warmup": "warmup_steps",
}
_EVALUATION = {
    "strategy": "eval_strategy",
    "steps": "eval_steps",
    "batch_size": "per_device_eval_batch_size",
    "delay": "eval_delay",
    "packing": "eval_packing",
}
_SAVING = {
    "strategy": "save_strategy",
    "steps": "save_steps",
    "interval": "save_steps",
    "every": "save_steps",
    "limit": "save_total_limit",
    "total_limit": "save_total_limit",
    "keep": "save_total_limit",
}
_LOGGING = {
    "strategy": "logging_strategy",
    "steps": "logging_steps",
    "interval": "logging_steps",
    "every": "logging_steps",
    "first_step": "logging_first_step",
    "level": "log_level",
}
_QUANTIZATION = {
    "quant_type": "bnb_4bit_quant_type",
    "double_quant": "use_bnb_nested_quant",
    "quant_storage": "bnb_4bit_quant_storage",
}

SECTIONS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "lora",
            "peft",
            "qlora",
            "lora_config",
            "peft_config",
            "lora_args",
            "peft_args",
            "adapter",
        ),
        _LORA,
    ),
    **dict.fromkeys(("model", "model_args", "model_config"), _MODEL),
    **dict.fromkeys(("data", "dataset", "data_args", "dataset_args", "data_config"), _DATA),
    **dict.fromkeys(("optimizer", "optimizer_config"), _OPTIMIZER),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), _SCHEDULER),
    **dict.fromkeys(("eval", "evaluation", "evaluate"), _EVALUATION),
    **dict.fromkeys(("save", "saving", "checkpoint", "checkpoints", "checkpointing"), _SAVING),
    **dict.fromkeys(("logging", "log"), _LOGGING),
    **dict.fromkeys(
        ("quantization", "quantization_config", "bnb", "bnb_config", "bitsandbytes"), _QUANTIZATION
    ),
}
"""Section -> what a key means in it that means nothing, or something else, at the top."""


_WRAPPERS = frozenset(
    (
        *(
            "args",
            "arguments",
            "config",
            "hparams",
            "hyperparameters",
            "hyper_parameters",
            "params",
        ),
        *("parameters", "script_args", "sft", "sft_args", "sft_config", "spec", "train", "trainer"),
        *("trainer_args", "training", "training_args", "training_arguments", "training_config"),
        *("finetune", "finetuning", "fine_tuning", "trl", "settings"),
    )
)
"""Sections that other files have, in which a key means what it means at the top."""


def is_section(word: str) -> bool:
    """Whether a mapping of this name can only be a section."""
    return normalize(word) in _WRAPPERS or normalize(word) in SECTIONS


def key_in_section(section: str, word: str, schema: Schema) -> str | None:
    """TRL's key that is meant by a word in a section; None where nothing is known of it."""
    snake, inner = normalize(section), normalize(word)
    for key in (SECTIONS.get(snake, {}).get(inner), f"{snake}_{inner}"):
        if key in schema.properties:
            return key
    return exact_key(word, schema)
