# SPDX-License-Identifier: Apache-2.0
"""The files of each split, downloaded and unpacked; shared by all readers here."""

import io
from typing import IO, Any

import datasets
import pyarrow as pa

ZSTANDARD = ".zst"
"""Unpacked by Arrow: `datasets` requires a package for it that few images have."""


def split_generators(data_files: Any, manager: Any) -> list[Any]:
    """The files of each split, as arguments of a reader's `_generate_tables`."""
    if not data_files:
        raise ValueError(f"no data files: {data_files}")
    manager.download_config.extract_on_the_fly = True
    splits = []
    for split, names in data_files.items():
        files = []
        for name, file in zip(names, manager.download(list(names)), strict=True):
            is_ours = str(name).lower().endswith(ZSTANDARD)
            files.append([file] if is_ours else manager.iter_files(manager.extract(file)))
        arguments = {"files": files, "names": [str(name) for name in names]}
        splits.append(datasets.SplitGenerator(name=split, gen_kwargs=arguments))
    return splits


def unpacked(opened: IO[bytes], name: str) -> IO[bytes]:
    """The file's own bytes, if it has a compression that only Arrow supports."""
    if not name.lower().endswith(ZSTANDARD):
        return opened
    stream = pa.CompressedInputStream(pa.PythonFile(opened, mode="r"), "zstd")
    return io.BufferedReader(stream)
