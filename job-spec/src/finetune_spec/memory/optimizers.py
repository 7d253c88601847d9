# SPDX-License-Identifier: Apache-2.0
"""The state of an optimizer for each trained parameter. No I/O here.

By name as in transformers' `OptimizerNames`; torch's optimizers keep their states in the
parameter's own precision, bitsandbytes' in 32 bits, or in 8 with a 32-bit scale for every 256 of
them.
"""

from finetune_spec.memory.strategy import FLOAT32

_SCALED_8_BIT = 1 + FLOAT32 / 256
_SCALED_4_BIT = 0.5 + FLOAT32 / 128

TORCH_STATES = {
    "adamw_torch": 2,
    "adamw_torch_fused": 2,
    "adamw_torch_xla": 2,
    "adamw_torch_npu_fused": 2,
    "adamw_anyprecision": 2,
    "stable_adamw": 2,
    "schedule_free_adamw": 2,
    "schedule_free_radam": 2,
    "schedule_free_sgd": 1,
    "grokadamw": 3,
    "adagrad": 1,
    "rmsprop": 1,
    "lomo": 0,
}
"""The number of states in the parameter's precision."""

FIXED_BYTES = {
    "adamw_torch_8bit": 2 * _SCALED_8_BIT,
    "adamw_torch_4bit": 2 * _SCALED_4_BIT,
    "adamw_bnb_8bit": 2 * _SCALED_8_BIT,
    "adamw_8bit": 2 * _SCALED_8_BIT,
    "paged_adamw_8bit": 2 * _SCALED_8_BIT,
    "paged_adamw_32bit": 2 * FLOAT32,
    "lion_8bit": _SCALED_8_BIT,
    "paged_lion_8bit": _SCALED_8_BIT,
    "lion_32bit": FLOAT32,
    "paged_lion_32bit": FLOAT32,
    "ademamix": 3 * FLOAT32,
    "paged_ademamix_32bit": 3 * FLOAT32,
    "ademamix_8bit": 3 * _SCALED_8_BIT,
    "paged_ademamix_8bit": 3 * _SCALED_8_BIT,
    "rmsprop_bnb": FLOAT32,
    "rmsprop_bnb_32bit": FLOAT32,
    "rmsprop_bnb_8bit": _SCALED_8_BIT,
}

_BY_ROW_AND_COLUMN = ("adafactor", "adalomo")
_LOW_RANK = ("galore", "apollo")
_LOW_RANK_SHARE = 0.25
"""The share of AdamW's states, at the default rank of 128 of both: a rule of thumb."""


def state_bytes(optimizer: str, parameter_bytes: int, hidden: int, *, has_momentum: bool) -> float:
    """Bytes for each trained parameter of a matrix about `hidden` wide; AdamW's if unknown."""
    if optimizer == "sgd":
        return parameter_bytes if has_momentum else 0
    if optimizer in FIXED_BYTES:
        return FIXED_BYTES[optimizer]
    if optimizer in _BY_ROW_AND_COLUMN:
        return 2 * FLOAT32 / hidden
    if optimizer.startswith(_LOW_RANK):
        return 2 * parameter_bytes * _LOW_RANK_SHARE
    return TORCH_STATES.get(optimizer, 2) * parameter_bytes


def embeddings_stay_whole(optimizer: str) -> bool:
    """transformers configures bitsandbytes to keep 32-bit states for embeddings."""
    return optimizer in FIXED_BYTES and "8bit" in optimizer and optimizer != "adamw_torch_8bit"


def copies_for_step(optimizer: str) -> int:
    """Temporary numbers of a step for each parameter: torch's `foreach` form makes one."""
    return 1 if optimizer == "adamw_torch" else 0
