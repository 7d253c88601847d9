# SPDX-License-Identifier: Apache-2.0
"""The number of training rows of a dataset, if it is cheap to count: JSON lines on disk."""

import math
import re
from pathlib import Path

from finetune_spec.config import SftConfig
from finetune_trainer.storage import locations

_LINES = (".jsonl", ".ndjson")
_LARGEST = 1024**3
_CHUNK = 1024**2


def count_train_rows(config: SftConfig) -> int | None:
    """The rows of the training split; None if only `datasets` can count them."""
    name = config["dataset_name"]
    if not name or config["datasets"] or config["dataset_streaming"]:
        return None
    path = locations.path_of(name) or Path(name)
    files = _train_files(path, str(config["dataset_train_split"] or "train"))
    if not files or sum(file.stat().st_size for file in files) > _LARGEST:
        return None
    rows = sum(_count_lines(file) for file in files)
    held_out = float(config["test_split_size"] or 0)
    return rows - (math.ceil(rows * held_out) if held_out < 1 else int(held_out))


def _train_files(path: Path, split: str) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in _LINES else []
    if not path.is_dir():
        return []
    entries = [entry for entry in path.rglob("*") if entry.is_file()]
    data = [entry for entry in entries if entry.suffix in _LINES]
    # `datasets` takes the split from the file's name, or everything as `train` without one.
    named = [entry for entry in data if split in re.split(r"[-._ 0-9]", entry.stem)]
    if not named and split == "train" and len(data) == 1 and len(entries) == 1:
        return data
    return named


def _count_lines(file: Path) -> int:
    """The number of lines that are not empty."""
    with file.open("rb") as lines:
        return sum(1 for line in lines if line.strip())
