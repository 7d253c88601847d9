# SPDX-License-Identifier: Apache-2.0
"""Finds the rows in a file that is one JSON object. Pure: a value in, rows out.

Such files come from pandas' `to_json`, which writes columns by default, from APIs, which wrap their
rows in an object, and from tools that write a file with all splits. An object may also be a row.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_spec.config.parse.data_formats import FORMATS, KEPT_COLUMNS, TRL_COLUMNS
from finetune_trainer.ranks.data.readers.tables import BrokenData

_KNOWN = frozenset(
    {*TRL_COLUMNS, *KEPT_COLUMNS, *(name for known in FORMATS.values() for name in known.columns)}
)
"""Names of columns of rows, with any content."""

_SPEAKERS = ("role", "from")


def rows_in(found: Mapping[str, Any]) -> list[Any]:
    """The rows of a file with only this object; the object itself, if it is a row.

    Raises:
        BrokenData: it has several lists of rows, of which one file can provide only one.
    """
    for layout in (_pandas_split, _columns, _numbered_columns, _numbered_rows):
        if (rows := layout(found)) is not None:
            return rows
    if _KNOWN & set(found):
        return [found]
    lists = [name for name, value in found.items() if _are_rows(value)]
    if len(lists) > 1:
        raise BrokenData(
            f"one object has several lists of rows: {', '.join(lists)}",
            f"write each list into a separate file: {', '.join(f'{it}.json' for it in lists)}",
        )
    return [found] if not lists else list(found[lists[0]])


def _columns(found: Mapping[str, Any]) -> list[Any] | None:
    """`{"prompt": ["a", "b"], "completion": ["c", "d"]}`."""
    values = list(found.values())
    if not values or not all(isinstance(value, list) and value for value in values):
        return None
    if list(found) == ["pair"]:
        return None  # By itself a row.
    if len({len(value) for value in values}) != 1:
        return None
    if not any(_is_column(value) for value in values) or any(map(_is_conversation, values)):
        return None
    return [dict(zip(found, row, strict=True)) for row in zip(*values, strict=True)]


def _pandas_split(found: Mapping[str, Any]) -> list[Any] | None:
    """`{"columns": ["text"], "index": [0], "data": [["a"]]}`."""
    names, rows = found.get("columns"), found.get("data")
    if not isinstance(names, list) or not isinstance(rows, list):
        return None
    if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
        return None
    return [dict(zip(names, row, strict=True)) for row in rows]


def _numbered_columns(found: Mapping[str, Any]) -> list[Any] | None:
    """`{"text": {"0": "a", "1": "b"}}`: pandas' default format."""
    values = list(found.values())
    if not values or not all(_is_numbered(value) for value in values):
        return None
    numbers = list(values[0])
    if any(list(value) != numbers for value in values):
        return None
    return [{name: value[number] for name, value in found.items()} for number in numbers]


def _numbered_rows(found: Mapping[str, Any]) -> list[Any] | None:
    """`{"0": {"text": "a"}, "1": {"text": "b"}}`."""
    if not _is_numbered(found):
        return None
    rows = list(found.values())
    return rows if all(isinstance(row, Mapping) for row in rows) else None


def _is_numbered(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(name.isdigit() for name in value)


def _is_column(values: Sequence[Any]) -> bool:
    """Whether these are values of many rows: token ids are a list too, and so is a conversation."""
    return any(type(value) is str or _is_conversation(value) for value in values)


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, Mapping) and set(_SPEAKERS) & set(turn) for turn in value)
    )


def _are_rows(value: Any) -> bool:
    is_list = isinstance(value, list) and bool(value)
    return (
        is_list and all(isinstance(row, Mapping) for row in value) and not _is_conversation(value)
    )
