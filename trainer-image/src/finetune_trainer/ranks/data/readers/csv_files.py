# SPDX-License-Identifier: Apache-2.0
"""The reader of tables: every value is the text in the file, and an empty one is null."""

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import IO, Any

import datasets
import pandas as pd
import pyarrow as pa
from datasets.builder import Key
from datasets.packaged_modules.csv.csv import CsvConfig
from datasets.table import table_cast

from finetune_trainer.ranks.data.readers.splits import split_generators, unpacked
from finetune_trainer.ranks.data.readers.tables import BrokenData, column_names, naming

_HONOURED = ("sep", "delimiter", "names", "column_names", "quotechar", "escapechar", "doublequote")
_HONOURED_TOO = ("skipinitialspace", "encoding", "chunksize")
_OF_ANY_DATA_SET = ("name", "version", "data_dir", "data_files", "description", "features")


class Csv(datasets.ArrowBasedBuilder):
    BUILDER_CONFIG_CLASS = CsvConfig

    def _info(self) -> Any:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        return split_generators(self.config.data_files, dl_manager)

    def _generate_shards(self, files: Any, names: list[str]) -> Iterator[str]:
        yield from names

    def _generate_tables(self, files: list[Iterable[str]], names: list[str]) -> Iterator[Any]:
        for shard, (paths, name) in enumerate(zip(files, names, strict=True)):
            batch = 0
            for path in paths:
                # `open` is replaced in this module when files are streamed.
                with open(path, "rb") as opened, naming(name):  # noqa: PTH123
                    for table in self._tables(unpacked(opened, name)):
                        yield Key(shard, batch), self._as_declared(table)
                        batch += 1

    def _as_declared(self, table: pa.Table) -> pa.Table:
        """The table with the types that the dataset's card on the hub declares, if it does."""
        declared = self.config.features
        if declared is None:
            return table
        schema = declared.arrow_schema
        return table_cast(table.select([field.name for field in schema]), schema)

    def _tables(self, opened: IO[bytes]) -> Iterator[pa.Table]:
        if self._asks_for_more():
            yield from self._tables_of_pandas(opened)
            return
        # A byte order mark is not part of the first column's name.
        encoding = self.config.encoding or "utf-8-sig"
        text = io.TextIOWrapper(opened, encoding=encoding, newline="")
        csv.field_size_limit(sys.maxsize)
        rows = csv.reader(
            text,
            delimiter=self.config.sep,
            quotechar=self.config.quotechar,
            escapechar=self.config.escapechar,
            doublequote=self.config.doublequote,
            skipinitialspace=self.config.skipinitialspace,
            strict=True,
        )
        header = self.config.names or next((row for row in rows if row), [])
        columns = column_names(header)
        while some := list(islice(_values(rows, len(columns)), self.config.chunksize)):
            yield _table(columns, list(zip(*some, strict=True)))

    def _asks_for_more(self) -> bool:
        """Whether a card on the hub sets options for its tables, other than those of `csv`."""
        plain = CsvConfig()
        known = (*_HONOURED, *_HONOURED_TOO, *_OF_ANY_DATA_SET)
        return any(
            value != getattr(plain, name)
            for name, value in vars(self.config).items()
            if name not in known
        )

    def _tables_of_pandas(self, opened: IO[bytes]) -> Iterator[pa.Table]:
        options = {**self.config.pd_read_csv_kwargs, "na_filter": False, "dtype": str}
        for frame in pd.read_csv(opened, iterator=True, **options):
            columns = [list(frame[name]) for name in frame.columns]
            yield _table([str(name) for name in frame.columns], columns)


def _values(rows: Any, width: int) -> Iterator[list[str]]:
    """The rows, padded to the width; blank lines are skipped.

    Raises:
        BrokenData: one has more values than the header has names.
    """
    for row in rows:
        if not row:
            continue
        if len(row) > width:
            raise BrokenData(
                f"line {rows.line_num} has {len(row)} values for {width} columns",
                'put values with the separator in quotes, with "" for each quote in them',
            )
        yield row + [""] * (width - len(row))


def _table(names: Sequence[str], columns: Sequence[Sequence[str]]) -> pa.Table:
    arrays = [pa.array([value or None for value in column], pa.string()) for column in columns]
    return pa.table(dict(zip(names, arrays, strict=True)))
