# SPDX-License-Identifier: Apache-2.0
"""Makes torch compute on a fake GPU: shapes, types and lifetimes, and no numbers.

`FakeTensorMode` alone supports the forward pass without a GPU. The missing parts of a training are
replaced here, each by name. All replacements are process-wide, so a measuring process does nothing
else.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from trainer.fake_gpu.ledger import Ledger

CAPABILITY = (9, 0)
"""The fake GPU has the capability of an H100."""

_BEFORE_THE_TABLE, _HAS_CONTEXT, _LENGTH = 2, 4, 64
"""Positions in the virtual functions of torch's CUDA hooks: the entries before the first, the place
of `hasPrimaryContext` after two destructors, `isBuilt` and `isAvailable`, and an upper bound.
"""

_KEPT: list[Any] = []


@contextmanager
def fake_gpu() -> Iterator[Ledger]:
    """Inside it `device="cuda"` works, and every byte is counted."""
    _claim_a_context()
    ledger = Ledger()
    undo = ledger.track_resizing()
    try:
        with (
            patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False),
            patch("torch.cuda.is_bf16_supported", lambda *_: True),
            patch("torch.cuda.get_device_capability", lambda *_: CAPABILITY),
            patch("torch.cuda.current_device", lambda: 0),
            # DTensor computes shapes in a separate mode, which the ledger leaves out.
            patch("torch.distributed.tensor._sharding_prop.detect_fake_mode", lambda *_: None),
            # Modules are built on the GPU; moving them there again must not change them.
            patch("torch.utils.swap_tensors", _take_over),
            patch("torch.nn.functional.scaled_dot_product_attention", _attend),
            _without_kernels_of_triton(),
            _without_streams(),
            FakeTensorMode(),
            ledger,
        ):
            yield ledger
    finally:
        undo()


def _claim_a_context() -> None:
    """The backward pass queries CUDA's contexts; without a GPU the query is an error.

    torch has no switch for it, so the answer is written into the table of its hooks' functions.
    """
    if _KEPT:
        return
    torch._C._ensureCUDADeviceGuardSet()
    find = ctypes.CDLL(f"{torch.__path__[0]}/lib/libtorch_cpu.so")._ZN2at6detail12getCUDAHooksEv
    find.restype = ctypes.c_void_p
    hooks = ctypes.cast(find(), ctypes.POINTER(ctypes.c_void_p))
    has_context = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int8)(lambda *_: True)
    table = (ctypes.c_void_p * _LENGTH)()
    word = ctypes.sizeof(ctypes.c_void_p)
    ctypes.memmove(table, (hooks[0] or 0) - _BEFORE_THE_TABLE * word, _LENGTH * word)
    table[_BEFORE_THE_TABLE + _HAS_CONTEXT] = ctypes.cast(has_context, ctypes.c_void_p).value
    hooks[0] = ctypes.addressof(table) + _BEFORE_THE_TABLE * word
    _KEPT.extend((has_context, table))


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """The kernel that torch selects on a GPU: flash without a mask, else the memory-efficient one.

    Without a GPU it would select neither.
    """
    aten = torch.ops.aten
    if torch.is_autocast_enabled("cuda"):
        query, key, value = (each.to(torch.bfloat16) for each in (query, key, value))
    if attn_mask is None and query.dtype != torch.float32:
        return aten._scaled_dot_product_flash_attention(
            query, key, value, dropout_p, is_causal, scale=scale
        )[0]
    if enable_gqa:
        groups = query.shape[1] // key.shape[1]
        key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        # torch's own conversion, new for each layer.
        none = torch.zeros((), dtype=query.dtype, device=query.device)
        attn_mask = torch.where(attn_mask, none, float("-inf")).to(query.dtype)
    if attn_mask is not None:
        attn_mask = attn_mask.expand(-1, query.shape[1], -1, -1)
    return aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, query.requires_grad, dropout_p, is_causal, scale=scale
    )[0]


def _take_over(parameter: torch.Tensor, moved: torch.Tensor) -> None:
    parameter.data = moved.data


class _InPlace:
    """A kernel that writes into existing tensors, and so takes no memory."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *args, **kwargs: None


@contextmanager
def _without_kernels_of_triton() -> Iterator[None]:
    """Those of TRL's loss."""
    from trl.kernels import chunked_logprob

    with (
        patch.object(chunked_logprob, "_use_triton", lambda *_: True),
        patch("trl.trainer.utils._use_triton", lambda *_: True),
        patch.object(chunked_logprob, "_forward_kernel", _InPlace()),
        patch.object(chunked_logprob, "_backward_kernel", _InPlace()),
    ):
        yield


class _Stream:
    """One stream, in which all work is done in order: the allocator treats the others the same."""

    device_index = 0

    def __init__(self, *_: Any, **__: Any) -> None: ...
    def wait_stream(self, *_: Any) -> None: ...
    def wait_event(self, *_: Any) -> None: ...
    def synchronize(self) -> None: ...
    def wait(self, *_: Any) -> None: ...
    def record(self, *_: Any) -> None: ...
    def record_event(self, *_: Any) -> "_Stream":
        return self

    def query(self) -> bool:
        return True


@contextmanager
def _without_streams() -> Iterator[None]:
    with (
        patch("torch.cuda.Stream", _Stream),
        patch("torch.cuda.Event", _Stream),
        patch("torch.cuda.current_stream", _Stream),
        patch("torch.cuda.stream", lambda *_: nullcontext()),
        patch("torch.cuda.set_device", lambda *_: None),
        patch("torch.cuda.synchronize", lambda *_: None),
        patch("torch.Tensor.record_stream", lambda *_: None),
    ):
        yield
