# SPDX-License-Identifier: Apache-2.0
"""Opens the data that a config names: a file, a directory, a saved dataset, a dataset on the
hub.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from datasets import (
    Dataset,
    DatasetDict,
    IterableDatasetDict,
    config,
    load_dataset,
    load_from_disk,
)
from datasets.fingerprint import Hasher

from finetune_contract.reasons import Reason
from finetune_spec.config.parse.data_formats import suffix_of, unknown_file
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.ranks.data import configurations, damage, diagnosis, list_rows, readers
from finetune_trainer.ranks.data.images import decode_images
from finetune_trainer.storage import locations

Data: TypeAlias = DatasetDict | IterableDatasetDict

_READERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    ".jsonl": ("json", {}),
    ".ndjson": ("json", {}),
    ".json": ("json", {}),
    ".csv": ("csv", {}),
    ".tsv": ("csv", {"sep": "\t"}),
    ".parquet": ("parquet", {}),
    ".txt": ("text", {}),
    ".arrow": ("arrow", {}),
}
"""Suffix of a data file -> the reader of `datasets`, and its options."""

_SAVED = ("state.json", "dataset_dict.json")
"""The files of `save_to_disk`, for a dataset and for one with splits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """The config's keys for one dataset; the fields are `load_dataset`'s."""

    path: str
    name: str | None = None
    data_dir: str | None = None
    data_files: str | list[str] | dict[str, str] | None = None
    train_split: str = "train"
    """The name of the split that a single file becomes."""
    streaming: bool = False
    name_key: str = "dataset_config"
    """The config's name for `name`."""
    has_list_rows: bool = False
    """Whether rows of JSON are lists of two."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def local(self) -> Path | None:
        """The local file or directory; None for data that `datasets` must find."""
        path = Path(self.path)
        return path if path.exists() else None


def open_source(source: DataSource) -> Data:
    """The splits of a dataset.

    Raises:
        AttemptFailed: its files cannot be read; other errors are raised by the libraries.
    """
    local = source.local
    if local is None:
        with diagnosis.telling_what_is_broken(), configurations.telling_which(source.name_key):
            return _load(_on_hub(source))
    if local.is_dir() and any((local / name).is_file() for name in _SAVED):
        return _load_saved(local, source)
    files = diagnosis.data_files(local)
    diagnosis.require_content(files)
    damage.require_no_null_rows(files)
    damage.require_closed_quotes(files)
    try:
        if source.has_list_rows and list_rows.are_lists(files):
            return list_rows.load(local, source.data_files, source.train_split, source.streaming)
        with configurations.telling_which(source.name_key):
            found = _load(_of_file(source, local) if local.is_file() else _as_it_is(source, local))
        folder = local if local.is_dir() else local.parent
        return type(found)({name: decode_images(data, folder) for name, data in found.items()})
    except AttemptFailed:
        raise
    except Exception as error:
        # The libraries report where in their code it happened, not where in the data.
        if (reason := diagnosis.why_unreadable(local, files, error)) is not None:
            raise reason from error
        with diagnosis.telling_what_is_broken():
            raise


def _load(source: DataSource) -> Data:
    readers.take_over()
    return load_dataset(
        source.path,
        name=source.name,
        data_dir=source.data_dir,
        data_files=source.data_files,
        streaming=source.streaming,
        **source.options,
    )


def _as_it_is(source: DataSource, folder: Path) -> DataSource:
    """The directory, with a separate cache for the current state of its files.

    If a README lists configurations, `datasets` identifies their cache only by the patterns in it,
    and would return the contents of other files, or of these before they were edited.
    """
    found = [(str(file), file.stat()) for file in sorted(folder.rglob("*")) if file.is_file()]
    files = [(name, known.st_size, known.st_mtime_ns) for name, known in found]
    place = Path(config.HF_DATASETS_CACHE) / Hasher.hash(files)
    return replace(source, options={**source.options, "cache_dir": str(place)})


def _load_saved(folder: Path, source: DataSource) -> Data:
    saved = load_from_disk(str(folder))
    if isinstance(saved, Dataset):
        saved = DatasetDict({source.train_split: saved})
    if not source.streaming:
        return saved
    return IterableDatasetDict({name: data.to_iterable_dataset() for name, data in saved.items()})


def _of_file(source: DataSource, file: Path) -> DataSource:
    """A single file is the training split, whatever its name."""
    return _reading(source, str(file), suffix_of(file.name))


def _reading(source: DataSource, place: str, suffix: str | None) -> DataSource:
    if suffix is None:
        message, remedy = unknown_file(place.rsplit("/", 1)[-1])
        raise attempt_failed(Reason.UNKNOWN_FILE_TYPE, message, remedy)
    reader, options = _READERS[suffix]
    return DataSource(
        path=reader,
        data_files={source.train_split: place},
        train_split=source.train_split,
        streaming=source.streaming,
        options=options,
    )


def _on_hub(source: DataSource) -> DataSource:
    """A file or directory inside a dataset of the hub, as arguments of `load_dataset`."""
    if locations.scheme_of(source.path) != locations.HUB_SCHEME:
        return source
    place = locations.hub_place(source.path)
    if suffix_of(place.path) is not None:
        revision = f"@{place.revision}" if place.revision else ""
        uri = f"hf://datasets/{place.repository}{revision}/{place.path}"
        return _reading(source, uri, suffix_of(place.path))
    return DataSource(
        path=place.repository,
        name=source.name,
        data_dir=place.path or source.data_dir,
        data_files=source.data_files,
        train_split=source.train_split,
        streaming=source.streaming,
        options={"revision": place.revision} if place.revision else {},
    )
