# SPDX-License-Identifier: Apache-2.0
"""torch's FlashAttention-2 kernels for flat rows: results and gradients compared with 64 bits, and
the cases that bypass them. Written without a GPU, from a prototype for one.
"""

import itertools
from typing import Any

import pytest

pytestmark = pytest.mark.gpu

LENGTHS = (500, 17, 1, 1030, 500)
WITHIN = {"bfloat16": 2e-2, "float16": 3e-3}
"""The allowed distance of a result from 64 bits, by its norm."""


def in_64_bits(tensors: Any, window: int | None) -> Any:
    """Each row alone, its keys and values repeated, with a mask."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    query, key, value = tensors
    groups = query.shape[1] // key.shape[1]
    key, value = (each.repeat_interleave(groups, 1) for each in (key, value))
    found = []
    for begin, end in itertools.pairwise([0, *itertools.accumulate(LENGTHS)]):
        token = torch.arange(end - begin, device=query.device)
        distance = token[:, None] - token[None, :]
        sees = (distance >= 0) & (distance < (window or end))
        q, k, v = (each[:, :, begin:end] for each in (query, key, value))
        found.append(scaled_dot_product_attention(q, k, v, attn_mask=sees))
    return torch.cat(found, 2).transpose(1, 2)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("window", [None, 1, 100, 4096])
@pytest.mark.parametrize(
    ("heads", "groups", "size", "is_kernel"),
    [
        (9, 3, 64, True),
        (28, 4, 128, True),
        (8, 8, 256, True),
        (8, 1, 80, True),
        (4, 4, 20, False),
        (2, 2, 288, False),
    ],
)
def test_flat_attention_matches_64_bit_results_and_gradients(
    heads: int, groups: int, size: int, is_kernel: bool, window: int | None, dtype: str
) -> None:
    import torch

    from finetune_trainer.ranks.attention import varlen

    torch.manual_seed(0)
    number = getattr(torch, dtype)
    tensors = query, key, value = tuple(
        torch.randn(1, n, sum(LENGTHS), size, device="cuda", dtype=number, requires_grad=True)
        for n in (heads, groups, groups)
    )
    exact = [each.detach().double().requires_grad_() for each in tensors]
    module = torch.nn.Module()
    module.num_key_value_groups = heads // groups
    borders = torch.tensor([0, *itertools.accumulate(LENGTHS)], dtype=torch.int32, device="cuda")

    found, _ = varlen.attend(
        module,
        query,
        key,
        value,
        None,
        scaling=size**-0.5,
        sliding_window=window,
        cu_seq_lens_q=borders,
        max_length_q=max(LENGTHS),
    )
    wanted = in_64_bits(exact, window)
    weights = torch.randn_like(found)
    found.backward(weights)
    wanted.backward(weights.double())

    assert (varlen._kernel_for(query, key, value, 0.0) is not None) is is_kernel
    assert float((found.double() - wanted).norm() / wanted.norm()) < WITHIN[dtype]
    for one, other in zip(tensors, exact, strict=True):
        assert float((one.grad.double() - other.grad).norm() / other.grad.norm()) < WITHIN[dtype]


def test_autocast_of_float32_input_reaches_the_kernels() -> None:
    import torch

    from finetune_trainer.ranks.attention import varlen

    module = torch.nn.Module()
    query, key, value = (torch.randn(1, 4, 64, 64, device="cuda") for _ in range(3))
    how: dict[str, Any] = {
        "cu_seq_lens_q": torch.tensor([0, 30, 64], dtype=torch.int32, device="cuda"),
        "max_length_q": 34,
    }
    alone, _ = varlen.attend(module, query, key, value, None, **how)
    with torch.autocast("cuda", torch.bfloat16):
        cast, _ = varlen.attend(module, query, key, value, None, **how)

    assert (alone.dtype, cast.dtype) == (torch.float32, torch.bfloat16)
    assert torch.allclose(alone, cast.float(), atol=2e-2)
