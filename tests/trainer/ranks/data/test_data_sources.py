# SPDX-License-Identifier: Apache-2.0
"""Data are read from all sources: files of every kind, directories, saved sets, streams.

Unreadable data is reported with the file and the line.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import train
from trainer.ranks.data.test_data_shapes import ANSWER, USER, arguments, lines
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # importing datasets and torch

ROWS = [{"prompt": f"When is {n}? ", "completion": f"At {n}."} for n in range(6)]


def csv(*names: str, separator: str = ",") -> bytes:
    rows = [names, *([row["prompt"], row["completion"]] for row in ROWS)]
    return "".join(separator.join(row) + "\n" for row in rows).encode()


def parquet(file: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).to_parquet(file)


def arrow(file: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(file.with_suffix(""))
    next(file.with_suffix("").glob("*.arrow")).rename(file)


def saved(folder: Path) -> None:
    from datasets import Dataset

    Dataset.from_list(ROWS).save_to_disk(folder)


def saved_splits(folder: Path) -> None:
    from datasets import Dataset, DatasetDict

    rows = Dataset.from_list(ROWS)
    DatasetDict({"train": rows, "test": rows.take(2)}).save_to_disk(folder)


def written(body: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(body)


@pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "as a stream"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        pytest.param("a.jsonl", written(lines(*ROWS)), id="JSON lines"),
        pytest.param("a.JSONL", written(lines(*ROWS)), id="a suffix in capitals"),
        pytest.param("a.ndjson", written(lines(*ROWS)), id="JSON lines by their other name"),
        pytest.param("a.json", written(json.dumps(ROWS, indent=1).encode()), id="a JSON list"),
        pytest.param("a.jsonl.gz", written(gzip.compress(lines(*ROWS))), id="compressed"),
        pytest.param("a.csv", written(csv("prompt", "completion")), id="CSV"),
        pytest.param(
            "a.tsv", written(csv("prompt", "completion", separator="\t")), id="tab-separated"
        ),
        pytest.param("a.parquet", parquet, id="Parquet"),
        pytest.param("a.arrow", arrow, id="Arrow"),
        pytest.param("saved", saved, id="saved by save_to_disk"),
        pytest.param("saved", saved_splits, id="saved with splits"),
        pytest.param("my-tests.jsonl", written(lines(*ROWS)), id="a file called after tests"),
    ],
)
def test_a_file_or_saved_dataset_is_read(
    name: str, write: Callable[[Path], object], streaming: bool, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.data import prepare_data

    write(tmp_path / name)

    loaded = prepare_data(
        arguments(tmp_path, tmp_path / name, dataset_streaming=streaming, max_steps=1)
    )

    assert list(loaded.dataset["train"]) == ROWS


@pytest.mark.parametrize(
    ("name", "write", "config"),
    [
        pytest.param("a.txt", written(b"At 7.\n\nAt 8.\n"), {}, id="text, with a blank line"),
        pytest.param("a.csv", written(csv("prompt", "completion")), {}, id="CSV"),
        pytest.param("a.parquet", parquet, {}, id="Parquet"),
        pytest.param("saved", saved_splits, {"eval_strategy": "epoch"}, id="saved with splits"),
        pytest.param("a.jsonl", written(lines(*ROWS)), {"dataset_streaming": True}, id="a stream"),
    ],
)
def test_a_run_trains_on_every_supported_source(
    name: str,
    write: Callable[[Path], object],
    config: dict[str, Any],
    tmp_path: Path,
    tiny_model: Path,
) -> None:
    write(tmp_path / name)

    done = train(tmp_path, tiny_model, tmp_path / name, **{"max_steps": 1, **config})

    assert done.outcome.failure is None
    assert done.outcome.step == 1


def test_files_of_a_directory_become_splits_by_their_names(tmp_path: Path) -> None:
    from finetune_trainer.ranks.data import prepare_data

    files = {"train-1.jsonl": lines(ROWS[0]), "train-2.jsonl": lines(ROWS[1])}
    data = a_folder(tmp_path / "data", {**files, "dev.jsonl": lines(ROWS[2])})

    loaded = prepare_data(
        arguments(tmp_path, data, dataset_test_split="validation", eval_strategy="epoch")
    )

    assert list(loaded.dataset["train"]) == ROWS[:2]
    assert list(loaded.dataset["validation"]) == ROWS[2:3]


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        pytest.param(
            "hf://datasets/org/name@v1/data/train.jsonl",
            {"path": "json", "data_files": {"train": "hf://datasets/org/name@v1/data/train.jsonl"}},
            id="a file",
        ),
        pytest.param(
            "hf://datasets/org/name/german",
            {"path": "org/name", "data_dir": "german"},
            id="a folder",
        ),
        pytest.param(
            "hf://datasets/org/name@v1", {"path": "org/name", "revision": "v1"}, id="a revision"
        ),
        pytest.param("org/name", {"path": "org/name"}, id="a name"),
    ],
)
def test_a_hub_uri_is_passed_to_datasets_in_its_form(
    uri: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune_trainer.ranks.data import sources

    asked: dict[str, Any] = {}
    monkeypatch.setattr(sources, "load_dataset", lambda path, **told: asked.update(told, path=path))

    sources.open_source(sources.DataSource(path=uri))

    assert {name: value for name, value in asked.items() if value} == expected


@pytest.mark.parametrize(
    ("files", "sentence", "remedy"),
    [
        pytest.param(
            {"train.jsonl": b'{"text": "a"}\n\n{"text": "b"\n'},
            "InvalidDataset: train.jsonl, line 3 is not JSON: Expecting ',' delimiter",
            "write JSON there, as json.dumps does",
            id="a broken line",
        ),
        pytest.param(
            {"train.jsonl": b'{"text": "a"}\n', "train-2.jsonl": b'"a"\n'},
            "train-2.jsonl, line 1 is a string, expected an object with columns",
            "write each row as an object, such as",
            id="a line that is no row",
        ),
        pytest.param(
            {"train.jsonl": b'\n null\n{"text": "a"}\n'},
            "train.jsonl, line 2 is null, expected an object with columns",
            "remove the line, or write an object",
            id="a line that Arrow crashes of",
        ),
        pytest.param(
            {"train.json": b'{"text": "a"}\nnull\n'},
            "train.json, line 2 is null, expected an object with columns",
            "remove the line, or write an object",
            id="null for a row",
        ),
        pytest.param(
            {"train.json": b'[{"text": "a"}, {"text": "b"]'},
            "train.json is not JSON: Expecting ',' delimiter at column 29, line 1",
            "write JSON there, as json.dumps does",
            id="a broken list",
        ),
        pytest.param(
            {"train.jsonl": b""}, "EmptyDataset: train.jsonl is empty", "upload", id="an empty file"
        ),
        pytest.param(
            {"train.jsonl": b"\n \n"},
            "train.jsonl has no rows: its lines are blank",
            "add rows, or remove the file",
            id="blank lines",
        ),
        pytest.param({"train.json": b"[]"}, "has no rows", "", id="an empty list"),
        pytest.param(
            {"train.csv": b"text\n"}, "train.csv has no rows, only a header", "", id="only a header"
        ),
        pytest.param(
            {"train.csv": b"prompt,completion\na,b\nWhen, and where?,At 7.\n"},
            "train.csv, line 3 has 3 values, but the header names 2 columns: put values with a "
            "comma in quotes",
            "put values with a comma in quotes",
            id="a comma too many",
        ),
        pytest.param(
            {"train.csv": b'prompt,completion\na,b\n"Where,At 9.\nWhy,"No, why?"\nc,d\n'},
            "train.csv, line 3: a quote that opens in this row is not closed before its value ends",
            'write "" for each quote',
            id="a quote that swallows a row",
        ),
        pytest.param(
            {"train.csv": b"When do you open?,At 7.\nWhere are you?,At pier 9.\n"},
            "the columns When do you open?, At 7.; TRL trains on messages, on prompt and "
            "completion, or on text (is that its first row? A CSV file needs a header)",
            "",
            id="no header",
        ),
        pytest.param(
            {"train.csv": "text\nschön\n".encode("latin-1")},
            "train.csv is not UTF-8: there is the byte 0xf6",
            "save the file as UTF-8",
            id="another encoding",
        ),
        pytest.param(
            {"train.parquet": b"PAR1 and no more"},
            "train.parquet is not a Parquet file, or is incomplete",
            "write the file again, and upload it completely",
            id="half a Parquet file",
        ),
        pytest.param(
            {"train-1.jsonl": b'{"text": "a"}\n', "train-2.jsonl": b'{"prompt": "a"}\n'},
            "train-2.jsonl has the columns prompt, but train-1.jsonl has text",
            "give all files of a dataset the same columns",
            id="files of different columns",
        ),
        pytest.param(
            {"notes.docx": b"PK"},
            "DatasetNotFound: the dataset contains no data files: there is only notes.docx",
            "notes.docx is a document: write its text as .txt",
            id="a document",
        ),
        pytest.param(
            {"notes.rst": b"PK"},
            "DatasetNotFound: the dataset contains no data files: there is only notes.rst",
            "upload files of one of the kinds .jsonl,",
            id="no data file",
        ),
    ],
)
def test_unreadable_data_are_reported_with_file_and_line(
    files: dict[str, bytes], sentence: str, remedy: str, tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    data = a_folder(tmp_path / "data", files)

    with pytest.raises(AttemptFailed) as caught:
        prepare_data(arguments(tmp_path, data))

    failure = caught.value.failure
    assert sentence in f"{failure.reason}: {failure.message}"
    assert remedy in failure.remedy


@pytest.mark.parametrize(
    ("size", "held_out"), [pytest.param(0.25, 2, id="a share"), pytest.param(3, 3, id="rows")]
)
def test_the_same_seed_splits_off_the_same_rows(size: float, held_out: int, tmp_path: Path) -> None:
    from finetune_trainer.ranks.data import prepare_data

    rows = [{"text": f"At {n}."} for n in range(8)]
    data = a_folder(tmp_path / "data", {"all.jsonl": lines(*rows)}) / "all.jsonl"

    def split(seed: int) -> tuple[list[Any], list[Any]]:
        config = {"test_split_size": size, "eval_strategy": "epoch", "seed": seed}
        dataset = prepare_data(arguments(tmp_path, data, **config)).dataset
        return list(dataset["train"]), list(dataset["test"])

    train_rows, test_rows = split(1)

    assert (len(train_rows), len(test_rows)) == (8 - held_out, held_out)
    assert sorted([*train_rows, *test_rows], key=str) == rows
    assert split(1) == (train_rows, test_rows)
    assert split(2) != (train_rows, test_rows)


@pytest.mark.parametrize(
    ("config", "sentence", "remedy"),
    [
        pytest.param(
            {"eval_strategy": "epoch"},
            "SplitNotFound: dataset_test_split is test, but the dataset has only train, validation",
            "set dataset_test_split to the one to evaluate on, test_split_size, e.g. to 0.1",
            id="no split to evaluate on",
        ),
        pytest.param(
            {"test_split_size": 0.5, "dataset_test_split": "validation"},
            "SplitExists: test_split_size is set, but the dataset already has the split validation",
            "remove test_split_size",
            id="a split that is there already",
        ),
        pytest.param(
            {"test_split_size": 5},
            "SplitTooLarge: test_split_size is 5, which leaves none of 1 rows to train on",
            "lower test_split_size",
            id="more than there is",
        ),
    ],
)
def test_unusable_evaluation_data_are_refused(
    config: dict[str, Any], sentence: str, remedy: str, tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    rows = {"train.jsonl": lines(ROWS[0]), "validation.jsonl": lines(ROWS[1])}
    data = a_folder(tmp_path / "data", rows)

    with pytest.raises(AttemptFailed) as caught:
        prepare_data(arguments(tmp_path, data, **config))

    failure = caught.value.failure
    assert f"{failure.reason}: {failure.message}" == sentence
    assert remedy in failure.remedy


def test_a_run_evaluates_on_the_split_off_rows(tmp_path: Path, tiny_model: Path) -> None:
    data = a_folder(tmp_path / "data", {"train.jsonl": lines(*[{"messages": [USER, ANSWER]}] * 5)})

    done = train(
        tmp_path, tiny_model, data / "train.jsonl", test_split_size=0.2, eval_strategy="epoch"
    )

    assert done.outcome.failure is None
    assert any("eval_loss" in record for record in done.records())


CONFIGURED = b"---\nconfigs:\n- config_name: sea\n  data_files: sea/*.jsonl\n---\n"


@pytest.mark.parametrize("place", ["data", "other"], ids=["edited in place", "another dataset"])
def test_files_listed_in_a_readme_are_read_in_their_current_state(
    place: str, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.data import prepare_data

    said = []
    for folder, word in (("data", "boat"), (place, "soup")):
        files = {"README.md": CONFIGURED, "sea/train.jsonl": lines({"text": f"A {word}."})}
        data = a_folder(tmp_path / folder / "set", files)
        found = prepare_data(arguments(tmp_path, data, dataset_config="sea"))
        said.append(found.dataset["train"]["text"][:])

    assert said == [["A boat."], ["A soup."]]
