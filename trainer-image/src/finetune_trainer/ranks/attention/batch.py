# SPDX-License-Identifier: Apache-2.0
"""The current batch: whether its rows are flat, and where each begins and ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Batch:
    """Not a context variable: torch's compiler cannot trace one."""

    is_flat = False
    borders: torch.Tensor | None = None
    """The number of tokens before each row, and the total; None if unknown."""
    tokens: int | None = None
    """That total, after it was read once: reading it from a GPU waits for all of its pending
    work.
    """


@contextmanager
def flat_batch(*, is_flat: bool, borders: torch.Tensor | None = None) -> Iterator[None]:
    """Inside it, masks follow the borders, or are left out if attention gets the borders."""
    before = Batch.is_flat, Batch.borders, Batch.tokens
    Batch.is_flat, Batch.borders, Batch.tokens = is_flat, borders, None
    try:
        yield
    finally:
        Batch.is_flat, Batch.borders, Batch.tokens = before


def row_of_each(tokens: int, device: torch.device | str) -> torch.Tensor | None:
    """The row number of each of this many tokens; None if unknown."""
    if (borders := borders_of(tokens, device)) is None:
        return None
    lengths = borders.diff()
    return torch.arange(len(lengths), device=device).repeat_interleave(lengths)


def borders_of(tokens: int, device: torch.device | str) -> torch.Tensor | None:
    """The borders of the flat rows with this many tokens; None if unknown."""
    if not Batch.is_flat or Batch.borders is None:
        return None
    if Batch.tokens is None:
        Batch.tokens = int(Batch.borders[-1])
    return Batch.borders.to(device) if Batch.tokens == tokens else None
