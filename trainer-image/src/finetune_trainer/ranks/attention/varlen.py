# SPDX-License-Identifier: Apache-2.0
"""Attention with the borders of flat rows, registered with transformers by its name.

A mask is left out only while a flat batch is computed (`flat_batch`). Everything else, such as
generation, evaluation by a user's function and padded rows, uses sdpa as without it.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from finetune_spec.attention import VARLEN
from finetune_trainer.ranks.attention.batch import Batch, borders_of

Kernel = Callable[..., torch.Tensor]

_LARGEST_HEAD = 256
_HEADS_OF_SMALL_GPUS = range(193, 225)
"""Head sizes whose gradients the kernels do not support on GPUs with little shared memory."""
_SMALL_GPUS = ((8, 6), (8, 9), (12, 0), (12, 1))
_UNKNOWN_HERE = ("softcap", "s_aux", "position_bias")
"""Arguments that some models pass to their attention and neither the kernels nor sdpa support."""


def register() -> None:
    """Registers it with transformers by its name; idempotent."""
    AttentionInterface.register(VARLEN, attend)
    AttentionMaskInterface.register(VARLEN, build_mask)


def build_mask(*, attention_mask: torch.Tensor | None = None, **rest: Any) -> torch.Tensor | None:
    """No mask for one flat row with causal attention; else the mask for sdpa."""
    is_plain = attention_mask is None and not rest.get("use_vmap")
    is_causal = "allow_is_bidirectional_skip" not in rest
    is_whole = rest["batch_size"] == 1 and rest["q_length"] == rest["kv_length"]
    if Batch.is_flat and is_plain and is_causal and is_whole:
        return None
    return sdpa_mask(attention_mask=attention_mask, **rest)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it: (batch, heads, tokens, size) in, tokens before heads out.

    Raises:
        RuntimeError: the model passes arguments that require a mask.
    """
    is_whole = query.shape[0] == 1 and query.shape[2] == key.shape[2]
    lies_flat = attention_mask is None and is_whole and _is_causal(module, rest.get("is_causal"))
    if not lies_flat or (cu_seq_lens_q is None and not Batch.is_flat):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **rest
        )
    if cu_seq_lens_q is None:
        # Some architectures pass on a few arguments by name, and not the others that they were
        # given.
        cu_seq_lens_q = borders_of(query.shape[2], query.device)
    unknown = [name for name in _UNKNOWN_HERE if rest.get(name) is not None]
    if cu_seq_lens_q is None or unknown:
        what = (
            f"uses {' and '.join(unknown)}"
            if unknown
            else "does not receive the boundaries of its rows"
        )
        raise RuntimeError(
            f"the attention of {type(module).__name__} {what}: set attn_implementation to eager"
        )
    query, key, value = _cast((query, key, value))
    if (kernel := _kernel_for(query, key, value, dropout)) is not None:
        longest = max_length_q or int(cu_seq_lens_q.diff().max())
        options = {
            "scale": scaling,
            "window_size": (sliding_window - 1 if sliding_window else -1, 0),
        }
        return _by_kernel(kernel, (query, key, value), cu_seq_lens_q, longest, options), None
    lengths = cu_seq_lens_q.diff().tolist()
    # Split once: with slices each would have a gradient as large as the complete tensor.
    pieces = zip(*(each.split(lengths, dim=2) for each in (query, key, value)), strict=True)
    found = [
        sdpa_attention_forward(
            *(module, *piece, _window(piece[0], sliding_window), dropout, scaling),
            is_causal=True,
        )[0]
        for piece in pieces
    ]
    return torch.cat(found, dim=1), None


def _is_causal(module: torch.nn.Module, said: bool | None) -> bool:
    return bool(getattr(module, "is_causal", True) if said is None else said)


def _cast(tensors: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """As autocast does for sdpa; it does not support the kernels."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device) or tensors[0].dtype == torch.float64:
        return tensors
    return tuple(each.to(torch.get_autocast_dtype(device)) for each in tensors)


def _window(query: torch.Tensor, size: int | None) -> torch.Tensor | None:
    """The mask of one sequence that is longer than the window of its tokens."""
    length = query.shape[2]
    if not size or length <= size:
        return None
    tokens = torch.arange(length, device=query.device)
    distance = tokens[:, None] - tokens[None, :]
    return ((distance >= 0) & (distance < size))[None, None]


def _by_kernel(
    kernel: Kernel,
    tensors: tuple[torch.Tensor, ...],
    borders: torch.Tensor,
    longest: int,
    options: Mapping[str, Any],
) -> torch.Tensor:
    query, key, value = (each[0].transpose(0, 1) for each in tensors)
    found = kernel(
        *(query, key, value, borders, borders, longest, longest),
        **options,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return found[None]


def _kernel_for(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float
) -> Kernel | None:
    """The kernel, if it supports these arguments; it supports neither 32 bits nor dropout."""
    if not query.is_cuda or dropout:
        return None
    size = query.shape[-1]
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    is_same = query.dtype == key.dtype == value.dtype and size == key.shape[-1] == value.shape[-1]
    fits = is_half and is_same and takes_heads(size, _capability(query.device))
    return find_kernel() if fits else None


def takes_heads(size: int, capability: tuple[int, int]) -> bool:
    """Whether the kernels support heads of this size, and their gradients, on such a GPU."""
    if capability < (8, 0) or size > _LARGEST_HEAD or size % 8:
        return False
    return not (capability in _SMALL_GPUS and size in _HEADS_OF_SMALL_GPUS)


@cache
def find_kernel() -> Kernel | None:
    """torch's own kernel, of which a user's image may have an older version, or none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


@cache
def _capability(device: torch.device) -> tuple[int, int]:
    return torch.cuda.get_device_capability(device)
