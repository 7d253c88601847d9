# SPDX-License-Identifier: Apache-2.0
"""The reader of JSON: lines of objects, one list, or one object."""

import io
from collections.abc import Iterable, Iterator
from typing import Any

import datasets
from datasets.builder import Key
from datasets.packaged_modules.json.json import JsonConfig

from finetune_trainer.ranks.data.readers.json_rows import JsonRow, numbered_rows
from finetune_trainer.ranks.data.readers.json_types import table_of
from finetune_trainer.ranks.data.readers.splits import split_generators, unpacked
from finetune_trainer.ranks.data.readers.tables import BrokenData, naming


class Json(datasets.ArrowBasedBuilder):
    BUILDER_CONFIG_CLASS = JsonConfig

    def _info(self) -> Any:
        return datasets.DatasetInfo(features=self.config.features)

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        splits = split_generators(self.config.data_files, dl_manager)
        if self.info.features is None:
            # All tables have the types of the first one, both written and streamed ones.
            first = next(self._generate_tables(**splits[0].gen_kwargs), None)
            if first is not None:
                self.info.features = datasets.Features.from_arrow_schema(first[1].schema)
        return splits

    def _generate_shards(self, files: Any, names: list[str]) -> Iterator[str]:
        yield from names

    def _generate_tables(self, files: list[Iterable[str]], names: list[str]) -> Iterator[Any]:
        for shard, (paths, name) in enumerate(zip(files, names, strict=True)):
            batch = 0
            for path in paths:
                # `open` is replaced in this module when files are streamed.
                with open(path, "rb") as opened:  # noqa: PTH123
                    lines = io.TextIOWrapper(
                        unpacked(opened, name),
                        encoding=self.config.encoding,
                        errors=self.config.encoding_errors or "strict",
                        newline="\n",
                    )
                    with naming(name):
                        for rows in self._batches(lines):
                            yield Key(shard, batch), table_of(rows, self.info.features)
                            batch += 1

    def _batches(self, lines: io.TextIOWrapper) -> Iterator[list[JsonRow]]:
        counted, field = _Counted(lines), self.config.field
        rows: list[JsonRow] = []
        for number, row in numbered_rows(counted, looks_inside=field is None):
            found = row if field is None else self._field_of(row, number)
            rows.extend(found if isinstance(found, list) else [found])
            # A file with one list is in memory already: all of it determines its types.
            if counted.size > self.config.chunksize and not counted.is_over:
                yield rows
                rows, counted.size = [], 0
        if rows:
            yield rows

    def _field_of(self, row: JsonRow, number: int) -> Any:
        field = row.get(self.config.field)
        if not isinstance(field, list) or not all(isinstance(each, dict) for each in field):
            raise BrokenData(
                f"line {number} has no list of rows in {self.config.field}",
                f"add a list of objects named {self.config.field}",
            )
        return field


class _Counted:
    """Lines, with the number of characters read so far."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.size = 0
        self.is_over = False

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.size += len(line)
            yield line
        self.is_over = True
