# SPDX-License-Identifier: Apache-2.0
"""Measures tokenized rows in place, in Arrow's buffers: no Python object per row or token."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset

from finetune_trainer.exchange.data_account import Dropped, Lengths, measure_lengths

MASKED = -100
"""The label of a token that does not count for the loss."""

_BATCH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The remaining part of a row that is too long."""

    max_length: int
    is_from_end: bool = False

    def of(self, starts: Any, ends: Any) -> tuple[Any, Any]:
        kept = np.minimum(ends - starts, self.max_length)
        return (ends - kept, ends) if self.is_from_end else (starts, starts + kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number per row."""

    lengths: Any
    """Tokens before the row is cut."""
    kept: Any
    """Tokens after it is cut."""
    trained: Any
    """Tokens that count for the loss, after cutting. A row's first one never does, because nothing
    precedes it.
    """
    trained_uncut: Any

    @property
    def is_useful(self) -> Any:
        return self.trained > 0

    @property
    def is_cut(self) -> bool:
        """Whether any of the useful rows is too long."""
        return bool((self.kept < self.lengths)[self.is_useful].any())

    def drops(self) -> dict[str, int]:
        """The number of rows without a token to train on, by reason."""
        is_empty = self.lengths < 2
        is_masked = ~is_empty & (self.trained_uncut == 0)
        is_cut_off = ~is_empty & ~is_masked & (self.trained == 0)
        found = {
            Dropped.EMPTY: is_empty,
            Dropped.ALL_MASKED: is_masked,
            Dropped.PROMPT_FILLS_MAX_LENGTH: is_cut_off,
        }
        return {reason.value: int(rows.sum()) for reason, rows in found.items() if rows.any()}

    def histogram(self) -> Lengths | None:
        lengths, counts = np.unique(self.lengths, return_counts=True)
        return measure_lengths(lengths.tolist(), counts.tolist())


def measure(dataset: Dataset, cut: Cut | None) -> Measured:
    """The rows of a dataset with `input_ids` and `labels`."""
    parts = [_measure_batch(labels, cut) for labels in lists_of(dataset, "labels")]
    columns = zip(*parts, strict=True) if parts else [[np.zeros(0, dtype=np.int64)]] * 4
    lengths, kept, trained, trained_uncut = (np.concatenate(list(column)) for column in columns)
    return Measured(lengths=lengths, kept=kept, trained=trained, trained_uncut=trained_uncut)


def count_in_packs(packs: Dataset) -> tuple[int, int]:
    """Tokens in total, and those that count for the loss: not the first of each row in a pack."""
    tokens = trained = 0
    has_rows = "seq_lengths" in packs.column_names
    lengths = lists_of(packs, "seq_lengths") if has_rows else None
    for labels in lists_of(packs, "labels"):
        is_counted = _flat(labels) != MASKED
        sizes = _flat(next(lengths)) if lengths is not None else _sizes(labels)
        starts = (np.cumsum(sizes) - sizes)[sizes > 0]
        tokens += len(is_counted)
        trained += int(is_counted.sum() - is_counted[starts].sum())
    return tokens, trained


def has_assistant_turn(dataset: Dataset, columns: list[str]) -> Any:
    """For each row, whether one of the turns in these columns is the assistant's."""
    found = np.zeros(len(dataset), dtype=bool)
    for column in columns:
        place = 0
        for turns in lists_of(dataset, column):
            roles = pc.struct_field(turns.flatten(), "role")
            is_answer = pc.fill_null(pc.equal(roles, "assistant"), False).to_numpy(False)
            found[place : place + len(turns)] |= _sums(is_answer, _sizes(turns)) > 0
            place += len(turns)
    return found


def _measure_batch(labels: pa.Array, cut: Cut | None) -> tuple[Any, Any, Any, Any]:
    sizes = _sizes(labels)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    before = np.concatenate(([0], np.cumsum(_flat(labels) != MASKED)))

    def counted(begin: Any, end: Any) -> Any:
        return before[end] - before[np.minimum(begin + 1, end)]

    begin, end = cut.of(starts, ends) if cut is not None else (starts, ends)
    return sizes, end - begin, counted(begin, end), counted(starts, ends)


def lists_of(dataset: Dataset, column: str) -> Iterator[Any]:
    """The column in batches, each one Arrow array of lists."""
    for table in dataset.select_columns([column]).with_format("arrow").iter(batch_size=_BATCH):
        yield table[column].combine_chunks()


def _sizes(lists: Any) -> Any:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(False).astype(np.int64)


def _flat(lists: Any) -> Any:
    return lists.flatten().to_numpy(zero_copy_only=False)


def _sums(values: Any, sizes: Any) -> Any:
    """The sum of each list's values."""
    before = np.concatenate(([0], np.cumsum(values)))
    ends = np.cumsum(sizes)
    return before[ends] - before[ends - sizes]
