# SPDX-License-Identifier: Apache-2.0
"""What is left to try when a GPU's memory did not suffice. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from finetune_spec.config.parse.schema import load_schema

_SHORT = 512
"""Nobody wants shorter rows than these for the sake of memory."""


def memory_remedy(config: Mapping[str, Any], world_size: int) -> str:
    """One line: what in this config can still be reduced, and what is left once nothing can be."""
    left = list(_left(config, world_size))
    if not left:
        return (
            "ask for a larger GPU, or for a smaller model: nothing in the config is left to lower"
        )
    return "; or ".join(left) + "; or ask for a larger GPU"


def _left(config: Mapping[str, Any], world_size: int) -> Iterator[str]:
    schema = load_schema()

    def value(key: str) -> Any:
        return config.get(key, schema.default(key))

    rows, accumulated = value("per_device_train_batch_size"), value("gradient_accumulation_steps")
    if rows > 1:
        yield (
            f"set per_device_train_batch_size to {rows // 2} and gradient_accumulation_steps to "
            f"{accumulated * 2}, which keeps the effective batch"
        )
    if value("gradient_checkpointing") is False:
        yield "set gradient_checkpointing to true"
    if (length := value("max_length")) is None or length > _SHORT:
        yield "lower max_length"
    if not value("use_peft"):
        yield "set use_peft to true (LoRA)"
    elif not (value("load_in_4bit") or value("load_in_8bit")):
        yield "set load_in_4bit to true (QLoRA)"
    if world_size > 1 and not (value("fsdp") or value("deepspeed") or value("accelerate_config")):
        yield "set accelerate_config to fsdp2, which shards the model"
