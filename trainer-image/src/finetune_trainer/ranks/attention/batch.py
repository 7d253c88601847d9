# SPDX-License-Identifier: Apache-2.0
"""The batch that is being computed: whether its rows are flat, and where each begins and ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Batch:
    """Not a context variable: torch's compiler can't look into one."""

    is_flat = False
    borders: torch.Tensor | None = None
    """The tokens before each row, and their number in all; None where they aren't known."""


@contextmanager
def flat_batch(*, is_flat: bool, borders: torch.Tensor | None = None) -> Iterator[None]:
    """Within it masks are made by the borders, or none at all where attention is given them."""
    before = Batch.is_flat, Batch.borders
    Batch.is_flat, Batch.borders = is_flat, borders
    try:
        yield
    finally:
        Batch.is_flat, Batch.borders = before


def row_of_each(tokens: int, device: torch.device | str) -> torch.Tensor | None:
    """The number of the row that each of so many tokens belongs to; None where that isn't known."""
    if (borders := borders_of(tokens, device)) is None:
        return None
    lengths = borders.diff()
    return torch.arange(len(lengths), device=device).repeat_interleave(lengths)


def borders_of(tokens: int, device: torch.device | str) -> torch.Tensor | None:
    """The borders of the flat rows that are so many tokens; None where they aren't known."""
    if not Batch.is_flat or Batch.borders is None or int(Batch.borders[-1]) != tokens:
        return None
    return Batch.borders.to(device)
