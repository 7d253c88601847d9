# SPDX-License-Identifier: Apache-2.0
"""The reader of text files: each line is a row with one column, `text`."""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key
from datasets.packaged_modules.text.text import TextConfig

from finetune_trainer.ranks.data.readers.splits import split_generators, unpacked

_AT_ONCE = 10_000


class Text(datasets.ArrowBasedBuilder):
    BUILDER_CONFIG_CLASS = TextConfig

    def _info(self) -> Any:
        features = self.config.features or datasets.Features({"text": datasets.Value("string")})
        return datasets.DatasetInfo(features=features)

    def _split_generators(self, dl_manager: Any) -> list[Any]:
        return split_generators(self.config.data_files, dl_manager)

    def _generate_shards(self, files: Any, names: list[str]) -> Iterator[str]:
        yield from names

    def _generate_tables(self, files: list[Iterable[str]], names: list[str]) -> Iterator[Any]:
        (column,) = self.info.features
        for shard, (paths, name) in enumerate(zip(files, names, strict=True)):
            batch = 0
            for path in paths:
                # `open` is replaced in this module when files are streamed.
                with open(path, "rb") as opened:  # noqa: PTH123
                    lines = io.TextIOWrapper(unpacked(opened, name), encoding=self.config.encoding)
                    while some := list(islice(lines, _AT_ONCE)):
                        texts = [line.rstrip("\n") for line in some]
                        yield Key(shard, batch), pa.table({column: pa.array(texts, pa.string())})
                        batch += 1
