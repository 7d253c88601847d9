# SPDX-License-Identifier: Apache-2.0
"""The ladder for too little GPU memory, used by plan, remedy and retry. No I/O here.

The least harmful rung comes first. The effective batch never changes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from finetune_spec.config.parse.reading import Context
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.config.problem import quoted

ConfigChanges = Mapping[str, Any]

BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"

_SHORT = 512
"""Tokens. Shorter rows are not proposed to save memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One way to need less memory."""

    find: Callable[[SftConfig, Context], ConfigChanges | None]
    """The settings, by TRL's names: empty if the user must choose a value, None if it does not
    apply.
    """
    note: str = ""
    """The text that a remedy adds to the settings, or its complete text without settings."""
    is_retried: bool = False
    """Whether the next attempt may apply it automatically: the training result stays the same."""
    is_planned: bool = True
    """Whether `finetune plan` may propose it."""


def find_rungs(config: SftConfig, context: Context) -> Iterator[tuple[Rung, ConfigChanges]]:
    """The rungs that apply to a config, with their changes."""
    for rung in LADDER:
        settings = rung.find(config, context)
        if settings is not None:
            yield rung, {key: new for key, new in settings.items() if new != config[key]}


def spell(config: SftConfig, settings: ConfigChanges) -> ConfigChanges:
    """In the user's own spellings: TRL's name next to an older one would contradict it."""
    return {config.name(key): value for key, value in settings.items()}


def render_settings(settings: ConfigChanges, link: str) -> str:
    """`a: 1, b: 2 and c: 3`, with `: ` as the link."""
    keys = [f"{key}{link}{quoted(value)}".replace('"', "") for key, value in settings.items()]
    *others, last = keys
    return f"{', '.join(others)} and {last}" if others else last


def split_batch(config: SftConfig, parts: int) -> ConfigChanges:
    return {BATCH: config[BATCH] // parts, ACCUMULATION: config[ACCUMULATION] * parts}


def _smaller_batch(config: SftConfig, _: Context) -> ConfigChanges | None:
    rows, accumulated = config[BATCH], config[ACCUMULATION]
    # An older operator accepted configs with other values, which cannot be halved.
    if not (isinstance(rows, int) and isinstance(accumulated, int)) or rows <= 1:
        return None
    # Half of an odd batch would change the effective batch: then single rows immediately.
    return split_batch(config, 2 if rows % 2 == 0 else rows)


def _recomputation(config: SftConfig, _: Context) -> ConfigChanges | None:
    return None if config.recomputes else {config.recomputation_key(): True}


def _half_precision(config: SftConfig, _: Context) -> ConfigChanges | None:
    """Only for weights that are not trained: small steps are lost in 16 bits."""
    if not config["use_peft"] or config.is_quantized:
        return None
    return {"dtype": "bfloat16"} if config["dtype"] in ("float32", None) else None


def _shorter_rows(config: SftConfig, _: Context) -> ConfigChanges | None:
    length = config["max_length"]
    return {} if length is None or length > _SHORT else None


def _adapter(config: SftConfig, _: Context) -> ConfigChanges | None:
    if config["use_peft"] or config["num_layers_unfrozen"]:
        return None
    return {"use_peft": True, "dtype": "bfloat16"}


def _four_bits(config: SftConfig, _: Context) -> ConfigChanges | None:
    if not config["use_peft"] or config["load_in_4bit"] or config["deepspeed"] or config["fsdp"]:
        return None
    # bitsandbytes needs an explicit compute dtype.
    computed = {"dtype": "bfloat16"} if config["dtype"] == "auto" else {}
    return {"load_in_4bit": True, "load_in_8bit": False, **computed}


def _sharding(config: SftConfig, context: Context) -> ConfigChanges | None:
    if (context.world_size or 1) == 1 or config["fsdp"] or config["deepspeed"]:
        return None
    # FSDP does not shard 4-bit weights that are stored in another type than the others.
    same = dict.fromkeys(("bnb_4bit_quant_storage", "dtype"), "bfloat16")
    return {"accelerate_config": "fsdp2", **(same if config["load_in_4bit"] else {})}


SMALLER_BATCH = Rung(find=_smaller_batch, note=", which keeps the effective batch", is_retried=True)

LADDER = (
    SMALLER_BATCH,
    Rung(find=_recomputation, is_retried=True),
    Rung(find=_half_precision),
    Rung(find=_shorter_rows, note="lower max_length", is_planned=False),
    Rung(find=_adapter, note=" (LoRA)"),
    Rung(find=_four_bits, note=" (QLoRA)"),
    Rung(find=_sharding, note=", which shards the model", is_planned=False),
)
