# SPDX-License-Identifier: Apache-2.0
"""Why data files cannot be read: which file, which line, what is wrong there, what to do.

Asked only when `datasets` has given up, since reading every line takes long. No message shows
what is in the data.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.data_formats import DATA_SUFFIXES, suffix_of, why_not_read
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.data.readers.tables import broken_in

LINES = (".jsonl", ".ndjson")
TABLES = {".csv": ",", ".tsv": "\t"}
_IGNORED = ("dataset_info.json", "dataset_infos.json", "config.json", "dataset_dict.json")
_NAMES_SHOWN = 5


def data_files(local: Path) -> list[Path]:
    """The data files of a place, in the order of their names."""
    if local.is_file():
        return [local]
    return sorted(
        file
        for file in local.rglob("*")
        if file.is_file()
        and suffix_of(file.name) is not None
        and file.name not in _IGNORED
        and not any(part.startswith((".", "__")) for part in file.relative_to(local).parts)
    )


def require_content(files: Sequence[Path]) -> None:
    """
    Raises:
        AttemptFailed: one of them is empty.
    """
    for file in files:
        if file.stat().st_size == 0:
            raise attempt_failed(
                Reason.EMPTY_DATASET, f"{file.name} is empty", "upload the file again, or remove it"
            )


def why_unreadable(local: Path, files: Sequence[Path], error: Exception) -> AttemptFailed | None:
    """The first thing that is wrong in the files; None where nothing is found."""
    if not files or isinstance(error, FileNotFoundError):
        return _no_data(local)
    for file in files:
        try:
            problem = next(_problems(file), None)
        except UnicodeDecodeError as mistake:
            problem = f" is not UTF-8: there is the byte 0x{mistake.object[mistake.start]:02x}"
        except (OSError, csv.Error, RecursionError):
            continue  # compressed, or what no reader of text can tell of
        if problem is not None:
            remedy = "correct the file"
            if problem.endswith("a list"):
                remedy = "set dataset_format to pairs, if each row is a prompt and its completion"
            return attempt_failed(Reason.INVALID_DATASET, f"{file.name}{problem}", remedy)
    return _different_columns(files)


@contextmanager
def telling_what_is_broken() -> Iterator[None]:
    """
    Raises:
        AttemptFailed: a reader has found a file, or a row, that it can't read as it is.
    """
    try:
        yield
    except Exception as error:
        if (broken := broken_in(error)) is None:
            raise
        raise attempt_failed(Reason.INVALID_DATASET, str(broken), broken.remedy) from error


def _no_data(local: Path) -> AttemptFailed:
    names = sorted(entry.name for entry in local.iterdir()) if local.is_dir() else [local.name]
    kinds = ", ".join(DATA_SUFFIXES)
    remedy = f"upload files of one of the kinds {kinds}, e.g. train.jsonl and test.jsonl"
    known = next(((name, why) for name in names if (why := why_not_read(name)) is not None), None)
    if known is not None:
        name, (what, way_out) = known
        remedy = f"{name} is {what}: {way_out}"
    return attempt_failed(
        Reason.DATASET_NOT_FOUND,
        "the data set holds no data files: there is only "
        f"{', '.join(names[:_NAMES_SHOWN]) or 'nothing'}",
        remedy,
    )


def _problems(file: Path) -> Iterator[str]:
    """What is wrong, as the rest of a sentence that begins with the file's name."""
    suffix = file.suffix.lower()
    if suffix in LINES:
        yield from _problems_of_lines(file)
    elif suffix == ".json":
        yield from _problems_of_json(file)
    elif suffix in TABLES:
        yield from _problems_of_table(file, TABLES[suffix])
    elif suffix == ".parquet":
        try:
            pyarrow.parquet.read_schema(file)
        except (OSError, pyarrow.ArrowInvalid):
            yield " is no Parquet file, or only a part of one"
    elif suffix == ".txt":
        file.read_text(encoding="utf-8")


def _problems_of_lines(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig") as lines:
        rows = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            rows += 1
            try:
                row = json.loads(line)
            except ValueError as error:
                yield f", line {number} is not JSON: {_objection(error)}"
            else:
                yield from _problems_of_row(row, f", line {number}")
        if not rows:
            yield " has no rows: its lines are blank"


def _problems_of_json(file: Path) -> Iterator[str]:
    text = file.read_text(encoding="utf-8-sig")
    if not text.strip():
        yield " has no rows: its lines are blank"
        return
    try:
        whole = json.loads(text)
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and lines[0].lstrip().startswith("{") and lines[0].endswith("}"):
            yield from _problems_of_lines(file)
        else:
            yield f" is not JSON: {_objection(error)}, line {getattr(error, 'lineno', 1)}"
        return
    if whole == []:
        yield " has no rows"
    for place, row in enumerate(whole if isinstance(whole, list) else [whole], start=1):
        yield from _problems_of_row(row, f", row {place}")


def _problems_of_row(row: Any, place: str) -> Iterator[str]:
    if isinstance(row, list):
        yield f"{place} is a list"
    elif not isinstance(row, dict):
        yield f"{place} is {_kind(row)}, expected an object with columns"
    elif half := _half_of_a_character(row):
        yield f"{place} has half of a character: the surrogate {half} without its other half"


def _problems_of_table(file: Path, separator: str) -> Iterator[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, delimiter=separator)
        header = next(rows, [])
        if not any(header):
            yield " has no header: expected the names of its columns in the first line"
        has_rows = False
        for row in rows:
            has_rows = True
            if len(row) > len(header):
                yield (
                    f", line {rows.line_num} has {len(row)} values, and the header names "
                    f"{len(header)} columns: put values with a {_name(separator)} in quotes"
                )
        if not has_rows:
            yield " has no rows, only a header"


def _different_columns(files: Sequence[Path]) -> AttemptFailed | None:
    """`datasets` wants the same columns in every file, those of other splits too."""
    columns = {file: found for file in files if (found := _columns(file))}
    if len({frozenset(found) for found in columns.values()}) < 2:
        return None
    (first, expected), *others = columns.items()
    file, found = next((file, found) for file, found in others if set(found) != set(expected))
    return attempt_failed(
        Reason.INVALID_DATASET,
        f"{file.name} has the columns {', '.join(found)}, and {first.name} has "
        f"{', '.join(expected)}",
        "give all files of a data set the same columns, or make each a part of datasets",
    )


def _columns(file: Path) -> list[str]:
    suffix = file.suffix.lower()
    try:
        if suffix in LINES:
            with file.open(encoding="utf-8-sig") as lines:
                return list(json.loads(next(line for line in lines if line.strip())))
        if suffix in TABLES:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                return next(csv.reader(lines, delimiter=TABLES[suffix]), [])
        if suffix == ".parquet":
            return list(pyarrow.parquet.read_schema(file).names)
        if suffix == ".txt":
            return ["text"]
    except (OSError, ValueError, StopIteration, csv.Error, RecursionError):
        return []
    return []


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
    kinds = {str: "a text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")


def _name(separator: str) -> str:
    return "comma" if separator == "," else "tab"
