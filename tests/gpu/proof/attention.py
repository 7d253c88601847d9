# SPDX-License-Identifier: Apache-2.0
"""The trainer's attention over flat rows, result and gradients, compared with 64 bits row by
row.
"""

import itertools
from typing import Any

from gpu.proof.rows import Rows

LENGTHS = (500, 17, 1, 1030, 500)
HEADS = ((9, 3, 64), (28, 4, 128), (8, 8, 256))
"""Query heads, key heads and their size: SmolLM2's, Qwen2.5 7B's, and the largest size."""
WITHIN = 2e-2
"""The allowed distance of bfloat16 from 64 bits, by the norm."""


def compare(rows: Rows, device: str) -> None:
    """A row for each size of heads; a difference that is too large is an error."""
    lengths = LENGTHS if device == "cuda" else LENGTHS[1:3]
    for heads, groups, size in HEADS:
        apart = _apart(device, lengths, heads, groups, size)
        rows.add("attention", heads=heads, groups=groups, size=size, apart=apart)
        if max(apart.values()) > WITHIN:
            raise AssertionError(f"{heads} heads of {size}: {apart}, expected {WITHIN} at most")


def _apart(
    device: str, lengths: tuple[int, ...], heads: int, groups: int, size: int
) -> dict[str, float]:
    import torch

    from finetune_trainer.ranks.attention import varlen

    torch.manual_seed(0)
    tensors = [
        torch.randn(1, n, sum(lengths), size, device=device, dtype=torch.bfloat16)
        for n in (heads, groups, groups)
    ]
    exact = [each.double().requires_grad_() for each in tensors]
    tensors = [each.requires_grad_() for each in tensors]
    module = torch.nn.Module()
    module.num_key_value_groups = heads // groups
    borders = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)
    query, key, value = tensors
    found, _ = varlen.attend(
        *(module, query, key, value, None),
        scaling=size**-0.5,
        cu_seq_lens_q=borders,
        max_length_q=max(lengths),
    )
    wanted = _each_alone(exact, lengths)
    weights = torch.randn_like(found)
    found.backward(weights)
    wanted.backward(weights.double())
    pairs = [
        (found, wanted),
        *((one.grad, two.grad) for one, two in zip(tensors, exact, strict=True)),
    ]
    names = ("result", "query", "key", "value")
    return {
        name: round(float((one.double() - two).norm() / two.norm()), 5)
        for name, (one, two) in zip(names, pairs, strict=True)
    }


def _each_alone(tensors: list[Any], lengths: tuple[int, ...]) -> Any:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    groups = tensors[0].shape[1] // tensors[1].shape[1]
    query, key, value = tensors[0], *(each.repeat_interleave(groups, 1) for each in tensors[1:])
    pieces = zip(*(each.split(lengths, 2) for each in (query, key, value)), strict=True)
    return torch.cat(
        [scaled_dot_product_attention(q, k, v, is_causal=True) for q, k, v in pieces], 2
    ).transpose(1, 2)
