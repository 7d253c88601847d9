# SPDX-License-Identifier: Apache-2.0
"""The attention that a loaded model uses, and the reason."""

import logging
from typing import Any

import torch
from trl import SFTConfig

from finetune_spec.attention import (
    BY_KERNEL,
    EAGER,
    FLASH_2,
    ONE_BY_ONE,
    PADDED,
    SDPA,
    TORCHS_OWN,
    VARLEN,
    WRAPPED,
    Attention,
    as_named,
    capped,
)
from finetune_trainer.plan.node.attention import has_flash_attention
from finetune_trainer.ranks.attention.masks import register_masks
from finetune_trainer.ranks.attention.varlen import find_kernel, register, takes_heads

log = logging.getLogger(__name__)

_SUPPORT = ("_supports_sdpa", "_supports_flash_attn", "_supports_attention_backend")
"""With these flags an architecture declares that its attention depends only on its arguments: no
mask is needed if the borders are known, and they reach it.
"""


def name_to_load(named: str | None) -> str | None:
    """The argument for transformers: with None it selects sdpa, or eager if there is no sdpa."""
    if named == FLASH_2 and torch.cuda.is_available() and has_flash_attention(named):
        return named
    return None if named in TORCHS_OWN else named


def settle_attention(model: Any, training: SFTConfig, named: str | None) -> Attention:
    """Gives a model with sdpa the attention for its rows, and returns the choice."""
    attention = choose(model, training, named)
    register_masks()
    if attention.name == VARLEN:
        register()
        model.set_attn_implementation(VARLEN)
    if training.local_process_index == 0:
        log.info("attention %s", attention)
    return attention


def choose(model: Any, training: SFTConfig, named: str | None) -> Attention:
    loaded = str(model.config._attn_implementation)
    kind = type(model).__name__
    if name_to_load(named) is not None:
        return as_named(str(named))
    if loaded == EAGER:
        return capped(kind)
    if not has_flat_rows(training):
        return WRAPPED if training.packing else PADDED
    if not _goes_by_borders(model) or getattr(training, "parallelism_config", None) is not None:
        return Attention(name=loaded, words=f"{kind} requires the mask of its flat rows")
    return BY_KERNEL if _has_kernel_for(model) else ONE_BY_ONE


def has_flat_rows(training: SFTConfig) -> bool:
    """The rule of `SFTTrainer.__init__`."""
    is_packed = training.packing and training.packing_strategy in ("bfd", "bfd_split")
    return bool(training.padding_free or is_packed)


def _goes_by_borders(model: Any) -> bool:
    texts = model.config.get_text_config()
    is_chunked = getattr(texts, "attention_chunk_size", None) is not None
    is_plain = getattr(texts, "is_causal", True) and not is_chunked
    says_so = all(getattr(model, flag, False) for flag in _SUPPORT)
    return bool(
        model.config._attn_implementation == SDPA
        and is_plain
        and says_so
        and model._can_set_attn_implementation()
    )


def _has_kernel_for(model: Any) -> bool:
    if not torch.cuda.is_available() or find_kernel() is None:
        return False
    texts = model.config.get_text_config()
    size = getattr(texts, "head_dim", None) or texts.hidden_size // texts.num_attention_heads
    return takes_heads(size, torch.cuda.get_device_capability())
