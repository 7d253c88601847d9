# SPDX-License-Identifier: Apache-2.0
"""Why data cannot be read: the file, the line, the problem (`faults`), the remedy.

Runs only after `datasets` has failed, because reading every line takes long. No message shows
contents of the data.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.data_formats import DATA_SUFFIXES, suffix_of, why_not_read
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.data.faults import LINES, TABLES, fault_of
from finetune_trainer.ranks.data.readers.tables import broken_in

_IGNORED = ("dataset_info.json", "dataset_infos.json", "config.json", "dataset_dict.json")
_NAMES_SHOWN = 5


def data_files(local: Path) -> list[Path]:
    """The data files of a location, in the order of their names."""
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
    """The first problem in the files; None if none is found."""
    if not files or isinstance(error, FileNotFoundError):
        return _no_data(local)
    for file in files:
        if (fault := fault_of(file)) is not None:
            return attempt_failed(Reason.INVALID_DATASET, f"{file.name}{fault.words}", fault.remedy)
    return _different_columns(files)


@contextmanager
def telling_what_is_broken() -> Iterator[None]:
    """
    Raises:
        AttemptFailed: a reader has found a file, or a row, that it cannot read.
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
        "the dataset contains no data files: there is only "
        f"{', '.join(names[:_NAMES_SHOWN]) or 'nothing'}",
        remedy,
    )


def _different_columns(files: Sequence[Path]) -> AttemptFailed | None:
    """`datasets` requires the same columns in every file, including those of other splits."""
    columns = {file: found for file in files if (found := _columns(file))}
    if len({frozenset(found) for found in columns.values()}) < 2:
        return None
    (first, expected), *others = columns.items()
    file, found = next((file, found) for file, found in others if set(found) != set(expected))
    return attempt_failed(
        Reason.INVALID_DATASET,
        f"{file.name} has the columns {', '.join(found)}, but {first.name} has "
        f"{', '.join(expected)}",
        "give all files of a dataset the same columns, or make each a part of datasets",
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
