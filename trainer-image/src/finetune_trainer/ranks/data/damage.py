# SPDX-License-Identifier: Apache-2.0
"""Checks of data files before reading, for damage that crashes readers or that they ignore.

No message shows contents of the data.
"""

import csv
import re
import sys
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.ranks.data.faults import LINES, TABLES

_NULL_ROW = re.compile(rb"^[ \t]*null[ \t\r]*$", re.MULTILINE)


def require_no_null_rows(files: Sequence[Path]) -> None:
    """Looks for lines that are `null`: Arrow's reader crashes the process if a part of a file
    begins with one.

    Raises:
        AttemptFailed: there is one.
    """
    for file in files:
        if file.suffix.lower() not in (*LINES, ".json") or file.stat().st_size == 0:
            continue
        with file.open("rb") as opened, mmap(opened.fileno(), 0, access=ACCESS_READ) as content:
            found = _NULL_ROW.search(content)
            line = 0 if found is None else content[: found.end()].count(b"\n") + 1
        if line and (file.suffix.lower() in LINES or _is_of_lines(file)):
            raise attempt_failed(
                Reason.INVALID_DATASET,
                f"{file.name}, line {line} is null, expected an object with columns",
                "remove the line, or write an object with columns",
            )


def require_closed_quotes(files: Sequence[Path]) -> None:
    """Looks for quotes in tables that are not closed at the end of their value: pandas silently
    reads the rows up to the next quote as one value.

    Raises:
        AttemptFailed: there is one.
    """
    for file in files:
        if (separator := TABLES.get(file.suffix.lower())) is None:
            continue
        began, limit = 0, csv.field_size_limit(sys.maxsize)
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                rows = csv.reader(lines, delimiter=separator, strict=True)
                for _ in rows:
                    began = rows.line_num
        except UnicodeDecodeError:
            continue  # Reported when it is read.
        except csv.Error as error:
            raise attempt_failed(
                Reason.INVALID_DATASET,
                f"{file.name}, line {began + 1}: a quote that opens in this row is not closed "
                f"before its value ends ({error})",
                'close it, or write "" for each quote that belongs to the value',
            ) from None
        finally:
            csv.field_size_limit(limit)


def _is_of_lines(file: Path) -> bool:
    """Whether a JSON file contains JSON lines: in a line of a list, `null` is a value."""
    with file.open("rb") as opened:
        return opened.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"["
