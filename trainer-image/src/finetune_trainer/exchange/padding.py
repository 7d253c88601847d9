# SPDX-License-Identifier: Apache-2.0
"""The share of padding in the computation, for batches of rows of different length. Pure."""

from dataclasses import dataclass

from finetune_trainer.exchange.data_account import Lengths

NOTICEABLE = 0.2
"""The share of padding below which no advice is given."""

FEWEST_ROWS = 1000
"""With fewer rows packing would make few packs, and an epoch of few steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """The padding of micro-batches of randomly drawn rows."""

    mean: float
    """Tokens of a row, after cutting."""
    padded: float
    """Tokens that a row takes in its batch: those of the longest one there, on average."""

    @property
    def share(self) -> float:
        return 1 - self.mean / self.padded if self.padded else 0.0


def expect_padding(lengths: Lengths, rows: int, max_length: int | None) -> Padding:
    """The padding of micro-batches with this many rows.

    Computed from the histogram: each row counts as long as the middle of its bucket. The
    probability that the longest of several rows is below an edge is the probability that all of
    them are.
    """
    total, below, mean, padded = sum(lengths.counts), 0, 0.0, 0.0
    for count, low, high in zip(lengths.counts, lengths.edges, lengths.edges[1:], strict=False):
        middle = min((low + high - 1) / 2, max_length or lengths.maximum, lengths.maximum)
        upto = below + count
        mean += middle * count / total
        padded += middle * ((upto / total) ** rows - (below / total) ** rows)
        below = upto
    return Padding(mean=mean, padded=padded)


def advise_on_padding(lengths: Lengths | None, rows: int, max_length: int | None) -> str | None:
    """One sentence if packing would save a noticeable share of the computation."""
    if lengths is None or sum(lengths.counts) < FEWEST_ROWS or max_length is None:
        return None
    found = expect_padding(lengths, rows, max_length)
    if found.share < NOTICEABLE:
        return None
    return (
        f"about {found.share:.0%} of the computed tokens are padding: rows have about "
        f"{found.mean:.0f} tokens on average and are padded to {found.padded:.0f} in batches of "
        f"{rows}. packing: true avoids padding; a pack then contains about "
        f"{max_length / found.mean:.1f} rows, so each step trains on correspondingly more rows"
    )
