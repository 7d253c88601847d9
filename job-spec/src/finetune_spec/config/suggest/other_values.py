# SPDX-License-Identifier: Apache-2.0
"""Keys of other tools for which it is the value that says what to write. No I/O here."""

from collections.abc import Mapping
from typing import Any

LEAVE_OUT = "leave it out"
FREEZING = "write num_layers_unfrozen, the number of last layers to train"
_FLASH = "write attn_implementation: flash_attention_2"
_SDPA = "write attn_implementation: sdpa"

_PEFT = {
    "lora": "write use_peft: true",
    "qlora": "write use_peft: true and load_in_4bit: true",
    "dora": "write use_peft: true and use_dora: true",
    "full": f"{LEAVE_OUT}: full tuning is what happens without use_peft",
    "freeze": FREEZING,
}
_WHERE_TRUE = {
    "flash_attention flash_attn flash_attention_2 use_flash_attention use_flash_attention_2 "
    "use_flash_attn use_flash_attn_2": _FLASH,
    "sdp_attention": _SDPA,
    "eager_attention": "write attn_implementation: eager",
    "flex_attention": "write attn_implementation: flex_attention",
    "lora_target_linear": "write lora_target_modules: all-linear",
    "disable_gradient_checkpointing": "write gradient_checkpointing: false",
    "use_unsloth_gc": "write gradient_checkpointing: true",
    "full_finetuning": _PEFT["full"],
}
_WHERE_FALSE = {
    "full_finetuning": _PEFT["lora"],
    "train_on_inputs": "write assistant_only_loss: true for conversations; of prompts with "
    "completions only the completion counts anyway",
}
BY_VALUE: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(
        ("finetuning_type", "adapter", "tuner", "method", "train_type", "peft_type"), _PEFT
    ),
    "quantization_bit": {"4": "write load_in_4bit: true", "8": "write load_in_8bit: true"},
    "bits": {"4": "write load_in_4bit: true", "8": "write load_in_8bit: true"},
    "flash_attn": {"fa2": _FLASH, "sdpa": _SDPA, "auto": f"{LEAVE_OUT}: it is chosen anyway"},
    "lora_target": {"all": "write lora_target_modules: all-linear"},
    "mixed_precision": {"bf16": "write bf16: true", "fp16": "write fp16: true"},
    "precision": {
        "bf16": "write bf16: true",
        "bf16-mixed": "write bf16: true",
        "fp16": "write fp16: true",
        "16-mixed": "write fp16: true",
    },
}


def answer_by_value(key: str, value: Any) -> str | None:
    """What to write instead of another tool's key with this very value."""
    if value is True or value is False:
        table = _WHERE_TRUE if value else _WHERE_FALSE
        return next((answer for keys, answer in table.items() if key in keys.split()), None)
    return BY_VALUE.get(key, {}).get(str(value).lower())
