# SPDX-License-Identifier: Apache-2.0
"""A number for all bits of a tensor, on the tensor's own device.

A copy of the weights would double their memory. This takes 24 MiB for any model.
"""

import functools
from typing import Any

import torch

_CHUNK = 1 << 20
"""Words of eight bytes per chunk."""
_NEXT_CHUNK = 0x2545F4914F6CDD1D
_SPREAD = 0x5851F42D4C957F2D


def local_part(parameter: Any) -> torch.Tensor | None:
    """The part of a parameter that this rank holds; None if it cannot be read, for example on a
    disk.
    """
    if (shard := getattr(parameter, "ds_tensor", None)) is not None:
        # ZeRO-3: the parameter itself is empty between two passes.
        is_here = getattr(getattr(shard, "status", None), "name", "AVAILABLE") == "AVAILABLE"
        return shard.detach() if is_here else None
    if parameter.device.type == "meta":
        return None
    if hasattr(parameter, "to_local"):
        return parameter.detach().to_local()
    return parameter.detach()


def fingerprint(tensor: torch.Tensor) -> torch.Tensor:
    """A sum of the tensor's words of eight bytes, each multiplied by its own odd number.

    It is zero for zeros, and always changes if a single word differs.
    """
    raw = tensor.contiguous().view(-1).view(torch.uint8)
    if raw.storage_offset() % 8:
        raw = raw.clone()
    whole = raw.numel() // 8 * 8
    total = torch.zeros((), dtype=torch.int64, device=raw.device)
    factors = _factors(str(raw.device))
    for words in raw[:whole].view(torch.int64).split(_CHUNK):
        total = total * _NEXT_CHUNK + (words * factors[: words.numel()]).sum()
    rest = raw[whole:].to(torch.int64)
    return total * _NEXT_CHUNK + (rest * factors[: rest.numel()]).sum()


def smallest_of(tensor: torch.Tensor) -> float:
    """The smallest magnitude in it, where an update is lost last. Infinite if it is empty."""
    if not tensor.numel():
        return float("inf")
    parts = tensor.contiguous().view(-1).split(_CHUNK)
    return float(torch.stack([part.abs().min() for part in parts]).min())


@functools.cache
def _factors(device: str) -> torch.Tensor:
    """Odd numbers without a pattern; overflow is cut off in the same way everywhere."""
    numbers = torch.arange(1, _CHUNK + 1, dtype=torch.int64, device=device) * _SPREAD
    numbers = (numbers ^ (numbers >> 29)) * _NEXT_CHUNK
    return (numbers ^ (numbers >> 32)) | 1
