# SPDX-License-Identifier: Apache-2.0
"""Trainings whose memory is compared: an architecture, a config, and the number of GPUs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]

LORA: Config = {"use_peft": True, "lora_target_modules": "all-linear", "dtype": "bfloat16"}
QLORA: Config = {**LORA, "load_in_4bit": True, "use_bnb_nested_quant": True}
PADDED: Config = {"max_length": 2048, "per_device_train_batch_size": 4}
PACKED: Config = {**PADDED, "packing": True}
ONE_PACK: Config = {**PACKED, "per_device_train_batch_size": 1}
KEEPING: Config = {"gradient_checkpointing": False}
TWICE: Config = {"gradient_accumulation_steps": 2}
IN_16_BITS: Config = {"dtype": "bfloat16"}
IN_32_BITS: Config = {"dtype": "float32"}
FSDP2: Config = {"accelerate_config": "fsdp2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    model: str
    words: str
    config: Config
    world: int = 1

    @property
    def name(self) -> str:
        gpus = "GPU" if self.world == 1 else "GPUs"
        return f"{self.model}, {self.words}, {self.world} {gpus}"


def _case(model: str, words: str, *parts: Config, world: int = 1) -> Case:
    config = {key: value for part in parts for key, value in part.items()}
    return Case(model=model, words=words, config=config, world=world)


SHORT: Sequence[Case] = (
    _case("Qwen2.5 0.5B", "QLoRA, packed", PACKED, QLORA),
    _case("Qwen2.5 0.5B", "full, packed, FSDP2", PACKED, FSDP2, world=8),
    _case("GPT-2 124M", "full, padded", {**PADDED, "max_length": 1024}),
    _case("SmolLM2 135M", "full, packed, keeping all", PACKED, KEEPING),
)
"""The cases of `make test`."""

LONG: Sequence[Case] = (
    _case("Qwen2.5 0.5B", "full, padded", PADDED),
    _case("Qwen2.5 0.5B", "LoRA, packed, keeping all, DDP", PACKED, LORA, KEEPING, world=2),
    _case("Qwen2.5 0.5B", "full, packed, DDP", PACKED, world=8),
    _case("Qwen2.5 1.5B", "LoRA, padded, keeping all", PADDED, LORA, KEEPING),
    _case("Qwen2.5 7B", "LoRA, packed", PACKED, LORA),
    _case("Qwen2.5 7B", "LoRA, packed, keeping all", PACKED, LORA, KEEPING),
    _case("Qwen2.5 7B", "QLoRA, packed", PACKED, QLORA),
    _case("Qwen2.5 7B", "full, packed, FSDP2", PACKED, FSDP2, world=8),
    _case("Llama 3 8B", "full in bfloat16, packed", PACKED, IN_16_BITS),
    _case("Llama 3 8B", "LoRA in float32, padded, DDP", PADDED, LORA, IN_32_BITS, world=4),
    _case("Mistral 7B", "LoRA, packed, accumulating, DDP", PACKED, LORA, TWICE, world=16),
    _case("Gemma 2B", "full in bfloat16, packed, FSDP2", PACKED, FSDP2, IN_16_BITS, world=4),
    _case("Gemma 3 1B", "LoRA, packed", PACKED, LORA),
    _case("Gemma 2 9B", "LoRA, padded (eager)", {**PADDED, "max_length": 1024}, LORA),
    _case("Phi-3 mini", "LoRA, packed, keeping all", PACKED, LORA, KEEPING),
    _case("Qwen3 8B", "full, packed, FSDP2", PACKED, FSDP2, world=16),
    _case("Qwen2.5 32B", "LoRA, packed, FSDP2", ONE_PACK, LORA, FSDP2, world=4),
    _case("Llama 3 70B", "QLoRA, packed", ONE_PACK, QLORA),
    _case("Llama 3 70B", "LoRA, packed, FSDP2", ONE_PACK, LORA, FSDP2, world=8),
    _case("Qwen2.5 72B", "full, packed, FSDP2", ONE_PACK, FSDP2, world=16),
)
"""The additional cases of `make test-all`."""
