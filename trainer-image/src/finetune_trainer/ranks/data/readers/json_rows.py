# SPDX-License-Identifier: Apache-2.0
"""Rows of JSON that keep the notation of numbers. Pure: texts in, values out.

A single value in a column, also a number or a boolean, is the text in the file: 1.10 stays 1.10.
Within lists and objects numbers are numbers, such as token ids and the arguments of a tool call.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from finetune_trainer.ranks.data.readers.json_layout import rows_in
from finetune_trainer.ranks.data.readers.tables import BrokenData

JsonRow = dict[str, Any]


class Spelled(str):
    """A number in the file's notation."""

    __slots__ = ()


def _constant(word: str) -> Spelled | None:
    # Python's notation for a missing number.
    return None if word == "NaN" else Spelled(word)


_DECODER = json.JSONDecoder(parse_float=Spelled, parse_int=Spelled, parse_constant=_constant)
_AN_OBJECT = 'write each row as an object, such as {"text": "..."}'
_SPACE = re.compile(r"\s*")


def loads(text: str) -> Any:
    """
    Raises:
        ValueError: it is not JSON.
    """
    with _of_any_depth():
        return _DECODER.decode(text)


@contextmanager
def _of_any_depth() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise BrokenData(
            "its lists and objects are nested too deeply",
            "remove the nested column, or write it as text",
        ) from None


def numbered_rows(
    lines: Iterable[str], *, looks_inside: bool = True
) -> Iterator[tuple[int, JsonRow]]:
    """The rows of JSON lines, of a list, of concatenated objects, or of an object that contains
    them, with their positions. `looks_inside` is false if a field with the rows is configured.

    Raises:
        ValueError: the file has another content.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    number, first = next(numbered, (0, ""))
    first = first.removeprefix("\ufeff")
    if not first.strip():
        return
    row = None if first.lstrip().startswith("[") else _object_of(first)
    if row is None:
        whole = first + "".join(line for _, line in numbered)
        yield from enumerate(_rows_of(whole, looks_inside=looks_inside), start=1)
        return
    second = next(numbered, None)
    if second is None:
        for found in rows_in(row) if looks_inside else [row]:
            yield number, _row(found, f"line {number}")
        return
    yield number, row
    for number, line in chain([second], numbered):
        yield number, _row(loads(line), f"line {number}")


def _object_of(line: str) -> JsonRow | None:
    """The object that a line is by itself; None if it is a part of one, or broken."""
    try:
        found = loads(line)
    except ValueError:
        return None
    return _row(found, "line 1")


def _rows_of(text: str, *, looks_inside: bool) -> Iterator[JsonRow]:
    place, rows = _after_space(text, 0), 0
    while place < len(text):
        with _of_any_depth():
            found, end = _DECODER.raw_decode(text, place)
        place = _after_space(text, end)
        is_alone = place == len(text) and not rows
        for row in _list_of(found, is_alone=is_alone, looks_inside=looks_inside):
            rows += 1
            yield _row(row, f"row {rows}")


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return place if found is None else found.end()


def _list_of(found: Any, *, is_alone: bool, looks_inside: bool) -> Sequence[Any]:
    if isinstance(found, list) and is_alone:
        return [{"text": each} if isinstance(each, str) else each for each in found]
    if is_alone and looks_inside and isinstance(found, dict):
        return rows_in(found)
    return [found]


def _row(value: Any, place: str) -> JsonRow:
    if not isinstance(value, dict):
        raise BrokenData(f"{place} is not an object", _AN_OBJECT)
    return value


def spelled(value: Any) -> str | None:
    """A single value as the text in the file.

    Raises:
        BrokenData: it is a list or an object.
    """
    if value is None or isinstance(value, str):
        return value if value is None else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    raise BrokenData(
        "a list or an object where other rows have a string", "give all rows a string there"
    )


def plain(value: Any) -> Any:
    """The value with its numbers as numbers."""
    if isinstance(value, Spelled):
        return _number(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value


def _number(text: Spelled) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        number = float(text)
    # JSON has no infinity: 1e999 is too large to be a number here.
    return number if math.isfinite(number) else str(text)
