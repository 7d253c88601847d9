# SPDX-License-Identifier: Apache-2.0
"""Remedies work: each is applied word for word, and then the same case is read."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml

from finetune_trainer.failures.errors import AttemptFailed
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # importing datasets and torch

Files = Mapping[str, bytes]

TURNS = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "There."}]
SHARED = [{"from": "human", "value": "Where?"}, {"from": "gpt", "value": "There."}]


def lines(*rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def loaded(place: Path, files: Files, config: Mapping[str, Any]) -> list[Any]:
    """The rows for training.

    Raises:
        AttemptFailed: there are none.
    """
    from finetune_trainer.ranks.arguments import read_arguments
    from finetune_trainer.ranks.data import prepare_data

    data = a_folder(place / "data", files)
    written = {"dataset_name": str(data), "output_dir": str(place), "use_cpu": True, "bf16": False}
    (place / "config.yaml").write_text(yaml.safe_dump({**written, **config}))
    return list(prepare_data(read_arguments(place / "config.yaml")).dataset["train"])


def keys_of(remedy: str) -> dict[str, Any]:
    """The keys that a remedy sets, as a user would copy them into `config`."""
    text = re.split(r", (?:or|which|if) ", remedy.removeprefix("set "))[0]
    found: dict[str, Any] = {}
    for part in text.split(" and "):
        found |= yaml.safe_load(part)
    return found


def failing(place: Path, files: Files, config: Mapping[str, Any]) -> Any:
    place.mkdir()
    with pytest.raises(AttemptFailed) as caught:
        loaded(place, files, config)
    return caught.value.failure


CONFIGURED = {
    "README.md": b"---\nconfigs:\n- config_name: harbour\n  data_files: harbour/*.jsonl\n"
    b"- config_name: sea\n  data_files: sea/*.jsonl\n---\n",
    "harbour/train.jsonl": lines({"messages": TURNS}),
    "sea/train.jsonl": lines({"messages": TURNS}),
}
"""As in shared cases: two configurations in one dataset."""


@pytest.mark.parametrize(
    ("files", "config"),
    [
        pytest.param(CONFIGURED, {}, id="several configurations"),
        pytest.param({"a.jsonl": lines({"Messages": TURNS})}, {}, id="Messages"),
        pytest.param({"a.jsonl": lines({"MESSAGES ": TURNS})}, {}, id="with a blank"),
        pytest.param({"a.jsonl": lines({"mesages": TURNS})}, {}, id="a slip of the pen"),
        pytest.param({"a.jsonl": lines({"thread": TURNS, "id": "1"})}, {}, id="turns by any name"),
        pytest.param({"a.jsonl": lines({"Dialog": SHARED})}, {}, id="ShareGPT by another name"),
        pytest.param({"a.jsonl": lines({"conversations": SHARED})}, {}, id="ShareGPT"),
        pytest.param({"a.jsonl": lines({"Prompt": "a", "Completion": "b"})}, {}, id="capitals"),
        pytest.param({"a.jsonl": lines({"Question": "a", "Answer": "b"})}, {}, id="questions"),
        pytest.param({"a.jsonl": lines({"question": "a", "answer": "b"})}, {}, id="a format"),
        pytest.param(
            {"a.jsonl": lines({"Instruction": "a", "Input": "", "Output": "b"})}, {}, id="Alpaca"
        ),
        pytest.param({"a.jsonl": lines({"Text": "a"})}, {}, id="Text"),
        pytest.param({"a.jsonl": lines({"yes": "a"})}, {}, id="a column that YAML has a word for"),
        pytest.param({"a.jsonl": lines({"it's": "a"})}, {}, id="a column with a quote"),
        pytest.param({"a.jsonl": lines({"Content": "a", "id": "1"})}, {}, id="Content and more"),
        pytest.param({"a.jsonl": lines({"pairs": ["a", "b"]})}, {}, id="pairs"),
        pytest.param({"a.jsonl": lines(["a", "b"], ["c", "d"])}, {}, id="rows that are lists"),
        pytest.param(
            {"a.jsonl": lines({"prompt": "a", "response": "b"})}, {}, id="prompt and response"
        ),
        pytest.param(
            {"a.jsonl": lines({"prompt": "a", "id": "1", "text": "b"})}, {}, id="prompt and text"
        ),
        pytest.param(
            {"a.jsonl": lines({"q": "a", "Answer": "b"})},
            {"dataset_format": "question_answer", "dataset_columns": {"question": "q"}},
            id="a format's column in capitals",
        ),
    ],
)
def test_the_keys_of_a_remedy_fix_the_case(
    tmp_path: Path, files: Files, config: Mapping[str, Any]
) -> None:
    failure = failing(tmp_path / "before", files, config)

    keys = keys_of(failure.remedy)

    (tmp_path / "after").mkdir()
    both = {**config.get("dataset_columns", {}), **keys.get("dataset_columns", {})}
    columns = {"dataset_columns": both} if both else {}
    assert keys
    assert loaded(tmp_path / "after", files, {**config, **keys, **columns})


def with_map() -> bytes:
    """A Parquet file with a column of maps, as Spark writes them."""
    kind = pa.map_(pa.string(), pa.string())
    return parquet(pa.table({"text": ["a"], "meta": pa.array([[("k", "v")]], kind)}))


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return bytes(sink.getvalue())


def without(name: str) -> Callable[[Files], Files]:
    return lambda files: {each: content for each, content in files.items() if each != name}


def instead(**contents: bytes) -> Callable[[Files], Files]:
    return lambda _: {name.replace("_", "."): content for name, content in contents.items()}


@pytest.mark.parametrize(
    ("files", "remedy", "done"),
    [
        pytest.param(
            {"a.json": json.dumps({"train": [{"text": "a"}], "test": [{"text": "b"}]}).encode()},
            "write each list into a separate file: train.json, test.json",
            instead(train_json=b'[{"text": "a"}]', test_json=b'[{"text": "b"}]'),
            id="all splits in one file",
        ),
        pytest.param(
            {"boats.xlsx": b"PK"},
            "boats.xlsx is a spreadsheet: save each sheet as a CSV file with a header, and name "
            "that",
            instead(boats_csv=b"text\na\n"),
            id="a spreadsheet",
        ),
        pytest.param(
            {"train.jsonl.lz4": b"x"},
            "train.jsonl.lz4 is compressed in an unsupported format: unpack it, or compress it "
            "with gzip, bzip2, xz or zstandard",
            instead(train_jsonl=lines({"text": "a"})),
            id="compressed otherwise",
        ),
        pytest.param(
            {"train.parquet": with_map()},
            "write meta as an object with the same names in all rows, or as text, or leave it out "
            "of the file",
            instead(train_parquet=parquet(pa.table({"text": ["a"], "meta": [{"k": "v"}]}))),
            id="a map",
        ),
        pytest.param(
            {"train.jsonl": b'{"text": "a"}\n{"text": "b"\n'},
            "write JSON there, as json.dumps does, or remove it",
            instead(train_jsonl=b'{"text": "a"}\n'),
            id="a broken line",
        ),
        pytest.param(
            {"train.csv": b"prompt,completion\nWhen, and where?,At 7.\n"},
            'put values with a comma in quotes, with "" for each quote in them',
            instead(train_csv=b'prompt,completion\n"When, and where?",At 7.\n'),
            id="a comma",
        ),
        pytest.param(
            {"train.csv": "text\nschön\n".encode("latin-1")},
            "save the file as UTF-8",
            instead(train_csv="text\nschön\n".encode()),
            id="another encoding",
        ),
        pytest.param(
            {"train.csv": b"text,text\na,b\n"},
            "give each column a unique name",
            instead(train_csv=b"text,other\na,b\n"),
            id="a name twice",
        ),
        pytest.param(
            {"train.jsonl": lines({"text": "a"}), "more.jsonl": b""},
            "upload the file again, or remove it",
            without("more.jsonl"),
            id="an empty file",
        ),
        pytest.param(
            {"train.arrow": b"x" * 99},
            "write the file again, and upload it completely",
            instead(train_parquet=parquet(pa.table({"text": ["a"]}))),
            id="half an Arrow file",
        ),
    ],
)
def test_a_file_changed_as_a_remedy_describes_fixes_the_case(
    tmp_path: Path, files: Files, remedy: str, done: Callable[[Files], Files]
) -> None:
    failure = failing(tmp_path / "before", files, {})

    assert failure.remedy == remedy
    (tmp_path / "after").mkdir()
    assert loaded(tmp_path / "after", done(files), {})


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dataset_config", "see", "dataset_config is see, but the dataset has only harbour, sea"),
        ("dataset_config", "x", "set dataset_config to one of them"),
    ],
)
def test_a_missing_dataset_configuration_is_reported_with_the_existing_ones(
    tmp_path: Path, key: str, value: str, words: str
) -> None:
    failure = failing(tmp_path / "before", CONFIGURED, {key: value})

    assert failure.reason == "DatasetConfigNotFound"
    assert words in f"{failure.message} | {failure.remedy}"


def test_a_dataset_without_configurations_requires_removing_the_key(tmp_path: Path) -> None:
    files = {"train.jsonl": lines({"text": "a"})}
    failure = failing(tmp_path / "before", files, {"dataset_config": "sea"})

    assert failure.remedy == "leave dataset_config out"


def test_an_entry_of_a_mixture_sets_its_configuration_by_its_own_key(tmp_path: Path) -> None:
    data = a_folder(tmp_path / "parts", CONFIGURED)
    parts = {"datasets": [{"path": str(data)}]}
    failure = failing(tmp_path / "before", {"a.jsonl": lines({"text": "a"})}, parts)

    assert failure.message.startswith("datasets[0]: the dataset has several configurations")
    assert failure.remedy == "set name: harbour, or another of them"
