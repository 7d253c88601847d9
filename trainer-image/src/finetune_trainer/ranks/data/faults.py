# SPDX-License-Identifier: Apache-2.0
"""The problem in one data file, and the change that makes it readable.

No sentence shows contents of the data.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from datasets.features.features import generate_from_arrow_type

LINES = (".jsonl", ".ndjson")
TABLES = {".csv": ",", ".tsv": "\t"}
ARROW = (".parquet", ".arrow")

_SAVE_AS_UTF8 = "save the file as UTF-8"
_AN_OBJECT = 'write each row as an object, such as {"text": "..."}'
_AS_JSON = "write JSON there, as json.dumps does, or remove it"
_WHOLE_CHARACTER = "write the complete character, or remove it"
_AS_PAIRS = "set dataset_format: pairs, if each row is a prompt and its completion"
_ADD_ROWS = "add rows, or remove the file"
_IN_QUOTES = 'put values with a {0} in quotes, with "" for each quote in them'
_NAME_COLUMNS = "write the names of the columns into the first line"
_UPLOAD_AGAIN = "write the file again, and upload it completely"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One problem."""

    words: str
    """The rest of a sentence that begins with the file's name."""
    remedy: str


def fault_of(file: Path) -> Fault | None:
    """The first problem in a file; None if none is found."""
    try:
        return next(_faults(file), None)
    except UnicodeDecodeError as mistake:
        byte = mistake.object[mistake.start]
        return Fault(words=f" is not UTF-8: there is the byte 0x{byte:02x}", remedy=_SAVE_AS_UTF8)
    except (OSError, csv.Error, RecursionError):
        return None  # Compressed, or a format without a text reader.


def _faults(file: Path) -> Iterator[Fault]:
    suffix = file.suffix.lower()
    if suffix in LINES:
        yield from _faults_of_lines(file)
    elif suffix == ".json":
        yield from _faults_of_json(file)
    elif suffix in TABLES:
        yield from _faults_of_table(file, TABLES[suffix])
    elif suffix in ARROW:
        yield from _faults_of_arrow(file, suffix)
    elif suffix == ".txt":
        file.read_text(encoding="utf-8")


def _faults_of_lines(file: Path) -> Iterator[Fault]:
    with file.open(encoding="utf-8-sig") as lines:
        rows = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            rows += 1
            try:
                row = json.loads(line)
            except ValueError as error:
                words = f", line {number} is not JSON: {_objection(error)}"
                yield Fault(words=words, remedy=_AS_JSON)
            else:
                yield from _faults_of_row(row, f", line {number}")
        if not rows:
            yield Fault(words=" has no rows: its lines are blank", remedy=_ADD_ROWS)


def _faults_of_json(file: Path) -> Iterator[Fault]:
    text = file.read_text(encoding="utf-8-sig")
    if not text.strip():
        yield Fault(words=" has no rows: its lines are blank", remedy=_ADD_ROWS)
        return
    try:
        whole = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith("{") and lines[0].endswith("}"):
            yield from _faults_of_lines(file)
        else:
            words = f" is not JSON: {_objection(error)}, line {getattr(error, 'lineno', 1)}"
            yield Fault(words=words, remedy=_AS_JSON)
        return
    if whole == []:
        yield Fault(words=" has no rows", remedy=_ADD_ROWS)
    for place, row in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        yield from _faults_of_row(row, f", row {place}")


def _faults_of_row(row: Any, place: str) -> Iterator[Fault]:
    if isinstance(row, list):
        yield Fault(words=f"{place} is a list", remedy=_AS_PAIRS)
    elif not isinstance(row, dict):
        words = f"{place} is {_kind(row)}, expected an object with columns"
        yield Fault(words=words, remedy=_AN_OBJECT)
    elif half := _half_of_a_character(row):
        words = f"{place} contains an incomplete character: the surrogate {half} without its pair"
        yield Fault(words=words, remedy=_WHOLE_CHARACTER)


def _faults_of_table(file: Path, separator: str) -> Iterator[Fault]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=separator)
        header = next(rows, [])
        if not any(header):
            words = " has no header: expected the names of its columns in the first line"
            yield Fault(words=words, remedy=_NAME_COLUMNS)
        has_rows = False
        for row in rows:
            has_rows = True
            if len(row) > len(header):
                words = (
                    f", line {rows.line_num} has {len(row)} values, but the header names "
                    f"{len(header)} columns: put values with a {_name(separator)} in quotes"
                )
                yield Fault(words=words, remedy=_IN_QUOTES.format(_name(separator)))
        if not has_rows:
            yield Fault(words=" has no rows, only a header", remedy=_ADD_ROWS)


def _faults_of_arrow(file: Path, suffix: str) -> Iterator[Fault]:
    """`datasets` has no type for a map, a union or an interval."""
    try:
        schema = _schema(file, suffix)
    except (OSError, pa.ArrowInvalid):
        kind = "Parquet file" if suffix == ".parquet" else "Arrow file"
        yield Fault(words=f" is not a {kind}, or is incomplete", remedy=_UPLOAD_AGAIN)
        return
    for field in schema:
        try:
            generate_from_arrow_type(field.type)
        except ValueError:
            yield Fault(
                words=f" has the column {field.name} of the type {str(field.type)[:80]}, "
                "which the library datasets cannot read",
                remedy=f"write {field.name} as an object with the same names in all rows, or as "
                "text, or leave it out of the file",
            )


def _schema(file: Path, suffix: str) -> pa.Schema:
    if suffix == ".parquet":
        return pyarrow.parquet.read_schema(file)
    with pa.memory_map(str(file)) as mapped:
        try:
            return pa.ipc.open_stream(mapped).schema
        except pa.ArrowInvalid:
            return pa.ipc.open_file(mapped).schema


def _objection(error: ValueError) -> str:
    message = getattr(error, "msg", "") or str(error)
    column = getattr(error, "colno", None)
    return message if column is None else f"{message} at column {column}"


def _half_of_a_character(row: Any) -> str:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"\\u{ord(error.object[error.start]):04x}"
    return ""


def _kind(value: Any) -> str:
    kinds = {str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _name(separator: str) -> str:
    return "comma" if separator == "," else "tab"
