# SPDX-License-Identifier: Apache-2.0
"""Rows of JSON that are lists, such as `["a prompt", "its completion"]`: `datasets` does not read
them.

Each becomes a row with one column, `pair`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, DatasetDict, Features, IterableDataset, IterableDatasetDict, Json
from datasets.data_files import DataFilesDict, get_data_patterns, sanitize_patterns

from finetune_spec.config.parse.data_formats import suffix_of
from finetune_trainer.ranks.data.readers.json_rows import loads, spelled

COLUMN = "pair"
_FEATURES = Features({COLUMN: Json()})
_JSON = (".jsonl", ".ndjson", ".json")


def are_lists(files: Sequence[Path]) -> bool:
    """Whether the first row of the first JSON file is a list; a broken file has no rows."""
    file = next((file for file in files if file.suffix in _JSON), None)
    try:
        return file is not None and isinstance(next(rows_of(file), None), list)
    except ValueError:
        return False


def rows_of(file: Path) -> Iterator[Any]:
    """The rows of a file of JSON lines, or of one list.

    Raises:
        ValueError: it is neither.
    """
    with file.open(encoding="utf-8-sig") as lines:
        if suffix_of(file.name) == ".json":
            text = lines.read()
            try:
                whole = loads(text)
            except ValueError:
                yield from (loads(line) for line in text.splitlines() if line.strip())
            else:
                yield from whole if isinstance(whole, list) else [whole]
            return
        yield from (loads(line) for line in lines if line.strip())


def load(
    local: Path, data_files: Any, train_split: str, streaming: bool
) -> DatasetDict | IterableDatasetDict:
    """The splits of a file or of a directory, distinguished by their names as in `datasets`."""
    splits = _splits(local, data_files, train_split)
    if streaming:
        return IterableDatasetDict(
            {
                name: IterableDataset.from_generator(
                    _pairs, features=_FEATURES, gen_kwargs={"files": files}
                )
                for name, files in splits.items()
            }
        )
    with PartialState().main_process_first():
        return DatasetDict(
            {
                name: Dataset.from_generator(
                    _pairs,
                    features=_FEATURES,
                    # The cache treats a file that has changed as another one.
                    gen_kwargs={"files": files, "states": [_state(file) for file in files]},
                )
                for name, files in splits.items()
            }
        )


def _splits(local: Path, data_files: Any, train_split: str) -> Mapping[str, list[str]]:
    if local.is_file():
        return {train_split: [str(local)]}
    folder = str(local)
    patterns = sanitize_patterns(data_files) if data_files else get_data_patterns(folder)
    found = DataFilesDict.from_patterns(patterns, base_path=folder, allowed_extensions=list(_JSON))
    return {str(split): [str(file) for file in files] for split, files in found.items()}


def _pairs(files: list[str], states: Any = None) -> Iterator[dict[str, Any]]:
    for file in files:
        for row in rows_of(Path(file)):
            yield {COLUMN: [_text(part) for part in row] if isinstance(row, list) else row}


def _text(part: Any) -> Any:
    """The value in the file as a text, also for a number; lists and objects are handled when
    shaping.
    """
    return part if isinstance(part, list | dict) else spelled(part)


def _state(file: str) -> tuple[float, int]:
    stat = Path(file).stat()
    return stat.st_mtime, stat.st_size
