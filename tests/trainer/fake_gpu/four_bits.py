# SPDX-License-Identifier: Apache-2.0
"""A model with bitsandbytes' 4-bit matrices, without the kernel that quantizes them."""

from typing import Any
from unittest.mock import patch

import bitsandbytes
import torch
from bitsandbytes.functional import QuantState

BLOCK, BLOCK_OF_BLOCKS, CODES = 64, 256, 16


def quantize(model: Any, *, is_nested: bool) -> Any:
    """Each linear layer except the head, in place: a buffer of the right size and its scales."""
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, _packed(module, is_nested=is_nested))
    model.is_loaded_in_4bit = True
    model.requires_grad_(False)
    return model


def _packed(linear: torch.nn.Linear, *, is_nested: bool) -> Any:
    dtype, shape = linear.weight.dtype, linear.weight.shape
    with torch.device("meta"), patch("bitsandbytes.nn.modules.Params4bit", _unpacked):
        packed = bitsandbytes.nn.Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=dtype,
            quant_type="nf4",
            compress_statistics=is_nested,
        )
    count = shape.numel()
    data = torch.empty((count // 2, 1), dtype=torch.uint8, device="cuda")
    state = _scales(count, shape, dtype, is_nested=is_nested)
    # `Params4bit` cannot be created from a fake tensor; only these attributes are read.
    packed.weight = torch.nn.Parameter(data, requires_grad=False)
    packed.weight.quant_state = state
    packed.weight.compress_statistics = is_nested
    packed.weight.quant_type = "nf4"
    packed.weight.quant_storage = torch.uint8
    packed.quant_state = state
    packed.bias = linear.bias
    return packed


def _unpacked(data: torch.Tensor, requires_grad: bool = True, **_: Any) -> torch.nn.Parameter:
    return torch.nn.Parameter(data, requires_grad=requires_grad)


def _scales(count: int, shape: Any, dtype: Any, *, is_nested: bool) -> QuantState:
    blocks = -(-count // BLOCK)
    common = {"shape": shape, "blocksize": BLOCK, "quant_type": "nf4", "dtype": dtype}
    code = torch.empty(CODES, device="cuda")
    if not is_nested:
        return QuantState(absmax=torch.empty(blocks, device="cuda"), code=code, **common)
    return QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8, device="cuda"),
        code=code,
        offset=torch.empty((), device="cuda"),
        state2=QuantState(
            absmax=torch.empty(-(-blocks // BLOCK_OF_BLOCKS), device="cuda"),
            code=torch.empty(256, device="cuda"),
            blocksize=BLOCK_OF_BLOCKS,
            dtype=torch.float32,
        ),
        **common,
    )
