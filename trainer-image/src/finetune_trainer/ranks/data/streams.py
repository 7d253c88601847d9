# SPDX-License-Identifier: Apache-2.0
"""Reports errors in a stream, which appear during training, with file and line.

Data on disk are read completely before training; of a stream only the beginning is.
"""

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from datasets.exceptions import DatasetsError
from pyarrow import ArrowException

from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.ranks.arguments import Arguments
from finetune_trainer.ranks.data import diagnosis
from finetune_trainer.ranks.data.readers.tables import BrokenData

_READERS = ("packaged_modules", "finetune_trainer/ranks/data/readers")
"""The modules that read files, `datasets`' and ours: a worker's error names them only in its
text.
"""


@contextmanager
def naming_broken_lines(arguments: Arguments) -> Iterator[None]:
    """Examines the files of a stream after a read error.

    Raises:
        AttemptFailed: with file and line, if found; otherwise the original error is raised.
    """
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, AttemptFailed) else error
        is_streamed = arguments.script.dataset_streaming or arguments.mixture.streaming
        if not is_streamed or cause is None or not _is_of_reading(cause):
            raise
        for place in _places(arguments):
            files = diagnosis.data_files(place)
            if files and (reason := diagnosis.why_unreadable(place, files, ValueError())):
                raise reason from cause
        with diagnosis.telling_what_is_broken():
            raise


def _is_of_reading(error: BaseException) -> bool:
    kinds = (
        ArrowException,
        DatasetsError,
        UnicodeDecodeError,
        JSONDecodeError,
        csv.Error,
        BrokenData,
    )
    is_of_tables = type(error).__name__ == "ParserError"  # The error of pandas.
    in_worker = any(place in str(error) for place in _READERS)
    return isinstance(error, kinds) or is_of_tables or in_worker


def _places(arguments: Arguments) -> list[Path]:
    """The local files and directories that the stream is read from."""
    parts = arguments.mixture.datasets or ()
    names = [part.path for part in parts] or [arguments.script.dataset_name]
    names += [name for part in parts for name in _names(part.data_files)]
    paths = [Path(str(name).removesuffix("/**")) for name in names if name]
    return [path for path in paths if path.exists()]


def _names(files: Any) -> Iterator[str]:
    if isinstance(files, Mapping):
        files = list(files.values())
    if isinstance(files, list | tuple):
        for each in files:
            yield from _names(each)
    elif isinstance(files, str):
        yield files
