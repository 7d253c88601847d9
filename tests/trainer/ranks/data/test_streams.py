# SPDX-License-Identifier: Apache-2.0
"""An error deep in a stream is found during training, and reported with its cause."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import train
from trainer.ranks.data.test_data_shapes import arguments

pytestmark = pytest.mark.slow  # importing datasets and torch

DEEP = 13
"""The line, beyond the first read of ten megabytes."""


def rows(change: Callable[[bytes], bytes]) -> bytes:
    made = [json.dumps({"text": f"At {n}.", "note": "x" * 1_000_000}).encode() for n in range(14)]
    made[DEEP - 1] = change(made[DEEP - 1])
    return b"\n".join(made) + b"\n"


BROKEN: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("cut off", lambda row: row[:20], f"train.jsonl, line {DEEP} is not JSON: "),
    ("a list", lambda row: b'["At 7."]', f"train.jsonl, line {DEEP} is a list"),
    ("Latin-1", lambda row: row.replace(b"At", b"\xc4t"), "train.jsonl is not UTF-8: there is the"),
]


@pytest.mark.parametrize(
    ("change", "sentence"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN]
)
@pytest.mark.parametrize("is_mixture", [False, True], ids=["alone", "in a mixture"])
def test_an_error_deep_in_a_stream_is_reported_with_file_and_line(
    change: Callable[[bytes], bytes], sentence: str, is_mixture: bool, tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data
    from finetune_trainer.ranks.data.streams import naming_broken_lines

    file = tmp_path / "train.jsonl"
    file.write_bytes(rows(change))
    config: dict[str, Any] = {"dataset_streaming": True}
    if is_mixture:
        parts = [{"path": "json", "data_files": {"train": [str(file)]}}]
        config = {"dataset_name": None, "datasets": parts, "streaming": True}
    given = arguments(tmp_path, file, max_steps=1, **config)

    with pytest.raises(AttemptFailed) as caught, naming_broken_lines(given):
        list(prepare_data(given).dataset["train"])

    failure = caught.value.failure
    assert failure.reason == "InvalidDataset"
    assert sentence in failure.message


def test_an_error_unrelated_to_the_data_is_unchanged(tmp_path: Path) -> None:
    from finetune_trainer.ranks.data.streams import naming_broken_lines

    file = tmp_path / "train.jsonl"
    file.write_bytes(b'{"text": "At 7."}\n{"text"\n')
    given = arguments(tmp_path, file, max_steps=1, dataset_streaming=True)

    with pytest.raises(RuntimeError, match="GPU"), naming_broken_lines(given):
        raise RuntimeError("the GPU is lost")


def test_a_broken_line_reached_during_training_is_a_user_error(
    tmp_path: Path, tiny_model: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(rows(BROKEN[0][1]))

    trained = train(
        tmp_path,
        tiny_model,
        file,
        dataset_streaming=True,
        max_steps=14,
        per_device_train_batch_size=1,
    )

    assert trained.words().startswith(f"InvalidDataset: {BROKEN[0][2]}")
