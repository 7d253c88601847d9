# SPDX-License-Identifier: Apache-2.0
"""The rows of a dataset: read, dropped, cut, packed. Values only, no I/O here.

Measured by a rank, written to `workspace.data_account`, published as `report/data.json`.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from finetune_contract.codec import read
from finetune_contract.notes import Note, NoteReason, info, warning

MOST_BUCKETS = 32
_ROUND = (1, 2, 5)


class Dropped(StrEnum):
    """Why a tokenized row is left out: it has nothing to train on. Shaping the data has other
    reasons.
    """

    EMPTY = "empty after tokenization"
    """No token remains that could be predicted from another one."""
    ALL_MASKED = "every label masked"
    """An empty answer, or one that the loss mask covers completely."""
    PROMPT_FILLS_MAX_LENGTH = "prompt fills max_length"
    """The answer begins where the row is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """The lengths of the rows in tokens, before cutting."""

    minimum: int
    median: int
    p95: int
    maximum: int
    edges: tuple[int, ...]
    """Bucket i contains the lengths from edges[i] to below edges[i + 1]. All have the same width
    except the last one, which may be wider: it contains rows that are much longer than the rest.
    """
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """Rows combined into packs of max_length tokens."""

    packs: int
    efficiency: float
    """The share of the packs that tokens fill, from 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitAccount:
    """One split. None means unknown in advance, for example for a stream, or for images."""

    rows: int | None = None
    """Rows read."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Rows left out, by reason: a member of `Dropped`, or a reason from shaping the data, such as a
    missing value.
    """
    truncated: int | None = None
    """Rows that were cut at max_length."""
    answers_cut: int | None = None
    """Rows among them that lose a part that counts for the loss."""
    tokens_cut: int | None = None
    tokens: int | None = None
    """The tokens of one epoch, after dropping and cutting."""
    trained_tokens: int | None = None
    """The number of them that count for the loss."""
    lengths: Lengths | None = None
    packing: Packing | None = None
    note: str = ""
    """Why a value is unknown."""

    @property
    def rows_dropped(self) -> int:
        return sum(self.dropped.values())

    @property
    def rows_used(self) -> int | None:
        return None if self.rows is None else self.rows - self.rows_dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class DataAccount:
    """The training and evaluation data, by the name of the split."""

    splits: Mapping[str, SplitAccount]
    warnings: tuple[str, ...] = ()
    """Warnings for the user, one sentence each."""

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> "DataAccount":
        """
        Raises:
            InvalidDocument: the text is not such an account.
        """
        return read(cls, text, "data account", spell=str)


def describe(name: str, account: SplitAccount) -> str:
    """The split in one log line."""
    figures = {
        "rows": account.rows,
        "dropped": account.rows_dropped,
        "truncated": account.truncated,
        "tokens_cut": account.tokens_cut,
        "tokens": account.tokens,
        "trained_tokens": account.trained_tokens,
        "packs": account.packing and account.packing.packs,
    }
    words = [f"{key}={value}" for key, value in figures.items() if value is not None]
    note = f" ({account.note})" if account.note else ""
    return f"split={name} {' '.join(words)}{note}"


def warnings_of(name: str, account: SplitAccount, max_length: int | None) -> tuple[str, ...]:
    """Warnings about dropped and cut rows."""
    warnings = [
        f"{count} of {account.rows} rows of {name} are left out: {reason}"
        for reason, count in account.dropped.items()
        if count
    ]
    if account.truncated:
        warnings.append(
            f"{account.truncated} rows of {name} are longer than max_length ({max_length}): "
            f"{account.tokens_cut} tokens are cut off; the longest row has "
            f"{account.lengths.maximum if account.lengths else 'more'}"
        )
    return tuple(warnings)


def notes_of(name: str, account: SplitAccount, max_length: int | None) -> Iterator[Note]:
    """The same as notes, for users who read no log: one about rows left out, one about those
    cut.
    """
    if count := account.rows_dropped:
        reasons = ", ".join(
            f"{reason} ({rows})" for reason, rows in account.dropped.items() if rows
        )
        yield warning(
            NoteReason.ROWS_LEFT_OUT,
            f"{count} of {account.rows} rows of {name} are left out: {reasons}",
        )
    if account.rows is None:
        yield info(
            NoteReason.NOT_KNOWN, f"rows of {name} that are skipped or truncated are not counted"
        )
    if account.answers_cut:
        yield warning(
            NoteReason.ANSWERS_CUT,
            f"{account.answers_cut} of {account.rows_used} rows of {name} lose trained tokens at "
            f"their end: they are longer than max_length ({max_length}); the longest row has "
            f"{account.lengths.maximum if account.lengths else 'more'} tokens",
        )
    elif account.truncated:
        yield info(
            NoteReason.ROWS_CUT,
            f"{account.truncated} of {account.rows_used} rows of {name} are truncated at "
            f"max_length ({max_length}): no token that counts for the loss is lost",
        )


def measure_lengths(lengths: Sequence[int], counts: Sequence[int]) -> Lengths | None:
    """Statistics of different lengths in rising order with the number of rows of each; None without
    rows.
    """
    if not lengths:
        return None
    p95 = _quantile(lengths, counts, 0.95)
    edges = _edges(lengths[0], p95, lengths[-1])
    buckets = [0] * (len(edges) - 1)
    place = 0
    for length, count in zip(lengths, counts, strict=True):
        while length >= edges[place + 1]:
            place += 1
        buckets[place] += count
    return Lengths(
        minimum=lengths[0],
        median=_quantile(lengths, counts, 0.5),
        p95=p95,
        maximum=lengths[-1],
        edges=edges,
        counts=tuple(buckets),
    )


def _quantile(lengths: Sequence[int], counts: Sequence[int], share: float) -> int:
    """The smallest length that this share of the rows does not exceed."""
    wanted = math.ceil(share * sum(counts))
    seen = 0
    for length, count in zip(lengths, counts, strict=True):
        seen += count
        if seen >= wanted:
            return length
    return lengths[-1]


def _edges(shortest: int, p95: int, longest: int) -> tuple[int, ...]:
    """Edges at round numbers, close enough together to distinguish most rows."""
    # A few rows that are much longer must not leave one bucket for all the others.
    bulk = min(longest, 2 * p95)
    width = _round_up((bulk + 1 - shortest) / (MOST_BUCKETS - 2))
    edges = [shortest // width * width]
    while edges[-1] <= bulk:
        edges.append(edges[-1] + width)
    if edges[-1] <= longest:
        edges.append(longest + 1)
    return tuple(edges)


def _round_up(width: float) -> int:
    """The next of 1, 2, 5, 10, 20, 50, ..."""
    scale = 1
    while True:
        for digit in _ROUND:
            if digit * scale >= width:
                return digit * scale
        scale *= 10
