# SPDX-License-Identifier: Apache-2.0
"""The observation of a tensor's bits, of its gradient, and of the module that uses it."""

from typing import Any

import pytest

from finetune_trainer.ranks.movement.account import Gradient

pytestmark = pytest.mark.slow  # importing torch


def prints(*tensors: Any) -> list[int]:
    from finetune_trainer.ranks.movement.fingerprint import fingerprint

    return [int(fingerprint(tensor)) for tensor in tensors]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("count", [1, 3, 64, 1_000_003, 5_000_001])
def test_the_smallest_change_of_one_value_is_detected(dtype: str, count: int) -> None:
    import torch

    before = torch.randn(count, generator=torch.Generator().manual_seed(0)).to(
        getattr(torch, dtype)
    )
    after = before.clone()
    place = count * 2 // 3
    after[place] = torch.nextafter(after[place], torch.tensor(9.0, dtype=after.dtype))

    one, other, same = prints(before, after, before.clone())

    assert one != other
    assert one == same


def test_swapped_or_negated_values_are_detected() -> None:
    import torch

    values = torch.arange(1.0, 9.0)
    swapped, reflected = values.flip(0), -values
    shifted = values.clone()
    shifted[0] += 1
    shifted[1] -= 1

    assert len(set(prints(values, swapped, reflected, shifted))) == 4


def test_only_zeros_have_the_fingerprint_zero() -> None:
    import torch

    zeros, one = torch.zeros(2_000_001), torch.zeros(2_000_001)
    one[-1] = 1e-45

    assert prints(zeros, torch.zeros(0)) == [0, 0]
    assert prints(one) != [0]


def test_a_view_of_a_tensor_has_the_fingerprint_of_its_copy() -> None:
    import torch

    whole = torch.randn(101, 7)
    parts = [whole[1:], whole[:, 3], whole.t(), whole[5, 5]]

    assert prints(*parts) == prints(*(part.clone() for part in parts))


def a_network(*, recompute: bool | None) -> Any:
    """Layers that are trained, each in another way."""
    import torch
    from torch import nn
    from torch.utils.checkpoint import checkpoint

    class Detached(nn.Linear):
        def forward(self, rows: Any) -> Any:
            return nn.functional.linear(rows, self.weight.detach())

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.times_zero, self.without_use, self.never_called = (
                nn.Linear(2, 2, bias=False) for _ in range(4)
            )
            self.detached = Detached(2, 2, bias=False)
            self.rows = nn.ParameterDict({"more": nn.Parameter(torch.zeros(2))})

        def forward(self, rows: Any) -> Any:
            rows = self.detached(self.used(rows) + self.rows["more"])
            # Like the last layer of a vision tower of which only the second last is used.
            self.without_use(rows)
            return rows + 0 * self.times_zero(rows)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, rows: Any) -> Any:
            rows = rows.requires_grad_()
            if recompute is None:
                return self.block(rows)
            return checkpoint(self.block, rows, use_reentrant=recompute)

    return Network()


@pytest.mark.parametrize("recompute", [None, True, False], ids=["no", "reentrant", "not reentrant"])
def test_a_gradient_is_traced_through_modules_with_and_without_recomputation(
    recompute: bool | None,
) -> None:
    import torch

    from finetune_trainer.ranks.movement.participation import Participation

    model = a_network(recompute=recompute)
    trained = dict(model.named_parameters())
    seen = Participation(model, trained)

    for _ in range(2):
        model(torch.ones(1, 2)).sum().backward()
        seen.end_step()

    plain = {name.removeprefix("block."): name for name in trained}
    assert {name: seen.gradient_of(full) for name, full in plain.items()} == {
        "used.weight": Gradient.NONZERO,
        "rows.more": Gradient.NONZERO,
        "times_zero.weight": Gradient.ZERO,
        "detached.weight": Gradient.NEVER,
        "without_use.weight": Gradient.NEVER,
        "never_called.weight": Gradient.NEVER,
    }
    assert {name for name, full in plain.items() if seen.came_by(full)} == {
        *("used.weight", "rows.more", "times_zero.weight", "detached.weight")
    }
