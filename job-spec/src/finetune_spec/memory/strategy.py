# SPDX-License-Identifier: Apache-2.0
"""The parts of a config that determine memory: precision, adapter, batch, checkpointing, attention.

TRL's own defaults apply to unset keys. Their effects in TRL 1.16 were taken from its sources:
weights are loaded as `dtype` (`float32`), `bf16` is autocast around them, PEFT keeps LoRA in 32
bits except with quantized weights, where TRL casts it to bfloat16.
"""

from dataclasses import dataclass

from finetune_spec.attention import EAGER, VARLEN, expected_attention
from finetune_spec.config.parse.sft_config import SftConfig
from finetune_spec.memory.architecture import Architecture
from finetune_spec.memory.sharding import Sharding, find_sharding

FLOAT32, HALF = 4, 2
"""Bytes of a number."""

_DTYPES = {"float32": FLOAT32, "bfloat16": HALF, "float16": HALF}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """The adapter."""

    rank: int
    targets: tuple[str, ...] | str | None
    """Suffixes of names, one regular expression for complete names, `all-linear`, or PEFT's
    defaults.
    """
    saved_modules: tuple[str, ...]
    has_dropout: bool
    is_dora: bool
    bytes: int
    """The size of one of its weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How the model is trained, as far as it affects memory."""

    weight_bytes: int
    """The size of one weight that is not quantized."""
    compute_bytes: int
    """The size of one number in matrix multiplications."""
    quantization_bits: int | None
    has_nested_quantization: bool
    lora: Lora | None
    unfrozen: int | None
    """The number of last layers that are trained; None for all, or an adapter."""
    rows: int
    """Rows per pass of one process."""
    row_tokens: int
    """In the longest row, or pack of rows, that attention processes at a time."""
    tokens: int
    """In all rows."""
    has_mask: bool
    """Whether rows are padded, so that attention needs a mask."""
    writes_attention: bool
    """Whether attention stores its matrix of all pairs of tokens (`eager`)."""
    checkpoint_every: int | None
    """Layers between two activation checkpoints; None without checkpointing."""
    is_offloading: bool
    """Whether activations are offloaded to the host's memory."""
    has_full_logits: bool
    accumulates: bool
    optimizer: str
    has_momentum: bool
    """Whether SGD uses momentum."""
    sharding: Sharding


def read_strategy(
    config: SftConfig, model: Architecture, *, world_size: int, has_gpus: bool = True
) -> Strategy:
    """The strategy of the config, with TRL's defaults."""
    sharding = find_sharding(config, world_size)
    bits = config.quantization_bits or model.quantization_bits
    weight_bytes = _weight_bytes(config, model)
    is_autocast = config.is_mixed(has_gpus=has_gpus)
    if sharding.has_master_weights and is_autocast:
        weight_bytes = HALF  # DeepSpeed casts the model itself.
    rows = config["per_device_train_batch_size"]
    length = config["max_length"] or model.context or 1024
    is_flat = config.has_flat_rows
    attention = expected_attention(
        config, softcaps=model.softcaps_attention, has_gpus=has_gpus
    ).name
    return Strategy(
        weight_bytes=weight_bytes,
        # bitsandbytes returns the type of its input, so autocast changes nothing after it.
        compute_bytes=HALF if is_autocast and bits is None else weight_bytes,
        quantization_bits=bits,
        has_nested_quantization=bool(config["use_bnb_nested_quant"]),
        lora=_read_lora(config, sharding, weight_bytes, is_quantized=bits is not None),
        unfrozen=None if config["use_peft"] else config["num_layers_unfrozen"],
        rows=rows,
        row_tokens=rows * length if is_flat else length,
        tokens=rows * length,
        has_mask=(is_flat or rows > 1) and attention != VARLEN and "flash" not in attention,
        writes_attention=attention == EAGER,
        checkpoint_every=_checkpoint_every(config),
        is_offloading=bool(config["activation_offloading"]) or _offloads_checkpoints(config),
        has_full_logits=bool(config["label_smoothing_factor"]),
        accumulates=config["gradient_accumulation_steps"] > 1,
        optimizer=str(config["optim"]),
        has_momentum="momentum" in str(config["optim_args"] or ""),
        sharding=sharding,
    )


def _weight_bytes(config: SftConfig, model: Architecture) -> int:
    initial = config.mapping("model_init_kwargs")
    given = initial.get("dtype") or initial.get("torch_dtype") or config["dtype"]
    if given in (None, "auto"):
        given = model.stored_dtype
    return _DTYPES.get(str(given).removeprefix("torch."), FLOAT32)


def _checkpoint_every(config: SftConfig) -> int | None:
    if not config.recomputes_by_trl:
        return 1 if config.recomputes_by_fsdp else None
    every = config.mapping(config.recomputation_key("_kwargs")).get("every_n_layers")
    return every if isinstance(every, int) and every > 0 else 1


def _offloads_checkpoints(config: SftConfig) -> bool:
    options = config.mapping(config.recomputation_key("_kwargs"))
    return config.recomputes_by_trl and bool(options.get("offload"))


def _read_lora(
    config: SftConfig, sharding: Sharding, weight_bytes: int, *, is_quantized: bool
) -> Lora | None:
    if not config["use_peft"]:
        return None
    targets = config["lora_target_modules"]
    if isinstance(targets, list):
        # TRL passes a single name to PEFT as text, which is a regular expression there.
        targets = targets[0] if len(targets) == 1 else tuple(targets)
    size = FLOAT32
    if is_quantized:
        size = HALF
    elif sharding.name == "ZeRO-3":
        size = weight_bytes
    return Lora(
        rank=config["lora_r"],
        targets=targets,
        saved_modules=tuple(config["lora_modules_to_save"] or ()),
        has_dropout=bool(config["lora_dropout"]),
        is_dora=bool(config["use_dora"]),
        bytes=size,
    )
