# SPDX-License-Identifier: Apache-2.0
"""Combines several datasets: each part is shaped by itself, then they are concatenated.

TRL's own `get_dataset` concatenates them before they could be shaped.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from accelerate import PartialState
from datasets import Dataset, Features, Json, List, ReadInstruction, concatenate_datasets
from trl import DatasetMixtureConfig

from finetune_contract.reasons import Reason
from finetune_spec.config.problem import did_you_mean
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.data.shapes import SPOKEN
from finetune_trainer.ranks.data.shaping import Shaped, Shaping, shape_split
from finetune_trainer.ranks.data.sources import Data, DataSource, open_source


def load_mixture(mixture: DatasetMixtureConfig, shaping: Shaping) -> Shaped:
    """All parts, shaped and combined.

    Raises:
        AttemptFailed: a part cannot be loaded or shaped, or has other columns than the others.
    """
    parts = []
    dropped: Counter[str] = Counter()
    unread: set[str] = set()
    for place, part in enumerate(mixture.datasets):
        with _naming(place):
            shaped = _load_part(part, shaping, streaming=mixture.streaming)
        dropped.update(shaped.dropped)
        unread.update(shaped.unread)
        parts.append(shaped.data)
    fractions = [part.fraction for part in mixture.datasets]
    if any(fraction is not None for fraction in fractions):
        parts = _shares(parts, fractions)
    together = _together(parts, shaping.text_field)
    return Shaped(data=together, dropped=dict(dropped), unread=tuple(sorted(unread)))


def _load_part(part: Any, shaping: Shaping, *, streaming: bool) -> Shaped:
    source = DataSource(
        path=part.path,
        name=part.name,
        name_key="name",
        data_dir=part.data_dir,
        data_files=part.data_files,
        train_split=re.split(r"[\[(+]", part.split)[0].strip(),
        streaming=streaming,
        has_list_rows=shaping.data.dataset_format == "pairs",
    )
    data = take_split(open_source(source), part.split)
    if part.columns is not None:
        missing = [name for name in part.columns if name not in data.column_names]
        if missing:
            raise attempt_failed(
                Reason.DATASET_COLUMN_MISSING,
                f"columns has {missing[0]}, but the dataset has {', '.join(data.column_names)}",
                f"remove {missing[0]} from columns{did_you_mean(missing[0], data.column_names)}",
            )
        data = data.select_columns(part.columns)
    return shape_split(data, shaping, part.split)


def take_split(splits: Data, wanted: str) -> Any:
    """One split, or the part that an expression such as `train[:10%]` or `train+test` selects.

    Raises:
        AttemptFailed: there is no such split.
    """
    if wanted in splits:
        return splits[wanted]
    lengths = {name: len(data) for name, data in splits.items() if isinstance(data, Dataset)}
    try:
        taken = ReadInstruction.from_spec(wanted).to_absolute(lengths)
    except (ValueError, AssertionError):
        of_stream = "" if lengths else ": a stream supports only complete splits"
        raise attempt_failed(
            Reason.SPLIT_NOT_FOUND,
            f"split is {wanted}, but the dataset has only {', '.join(splits)}{of_stream}",
            "set split to one of them",
        ) from None
    pieces = [splits[each.splitname].select(range(each.from_, each.to)) for each in taken]
    return concatenate_datasets(pieces)


def _shares(parts: Sequence[Any], fractions: Sequence[float]) -> list[Any]:
    """The first rows of each part, in the numbers that give these fractions of the total; as in
    TRL.
    """
    if any(fraction is None for fraction in fractions):
        raise ValueError("fraction must be set for either all datasets of a mixture or none")
    if not all(isinstance(part, Dataset) for part in parts):
        raise ValueError("a fraction is not supported with streaming")
    weights = [fraction / sum(fractions) for fraction in fractions]
    pairs = list(zip(parts, weights, strict=True))
    total = min(len(part) / weight for part, weight in pairs if weight > 0)
    return [part.select(range(round(weight * total))) for part, weight in pairs]


def _together(parts: Sequence[Any], text_field: str) -> Any:
    """TRL reads a row by the columns that all rows have: the columns it reads must be the same in
    all.
    """
    shapes = [_shape_of(part, text_field) for part in parts]
    for place, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise attempt_failed(
                Reason.MIXTURE_OF_SHAPES,
                f"datasets[{place}] has {' and '.join(shape)}, and datasets[0] has "
                f"{' and '.join(shapes[0])}",
                "give all parts the same shape; columns of a part selects its columns",
            )
    try:
        return concatenate_datasets(list(parts))
    except (ValueError, TypeError):
        if shapes[0] != ["messages"]:
            raise
    # Turns have different keys other than role and content, such as tool calls.
    return concatenate_datasets([_with_free_turns(part) for part in parts])


def _shape_of(part: Any, text_field: str) -> list[str]:
    names = part.column_names or list(next(iter(part)))
    return [name for name in (*SPOKEN, text_field, "input_ids") if name in names]


def _with_free_turns(part: Any) -> Any:
    features = Features({**part.features, "messages": List(Json())})
    with PartialState().main_process_first():
        return part.map(_without_nulls, features=features)


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("role", "content")
    return {
        "messages": [
            {name: value for name, value in turn.items() if value is not None or name in kept}
            for turn in row["messages"]
        ]
    }


@contextmanager
def _naming(place: int) -> Iterator[None]:
    """Names the part in errors."""
    try:
        yield
    except AttemptFailed as failed:
        message = f"datasets[{place}]: {failed.failure.message}"
        raise AttemptFailed(replace(failed.failure, message=message)) from failed
