# SPDX-License-Identifier: Apache-2.0
"""The inputs of a config are found, or reported as missing."""

import shutil
from pathlib import Path

import pytest

from finetune_contract.outcome import Category
from finetune_trainer.failures.errors import AttemptFailed
from finetune_trainer.failures.stopping import StopRequest
from finetune_trainer.inputs import fetching
from finetune_trainer.inputs.fetching import fetch
from finetune_trainer.storage import locations
from finetune_trainer.storage.folder import FolderStore
from trainer.runs import a_folder


def fetch_data(name: str, tmp_path: Path) -> Path | None:
    return fetch("dataset_name", name, tmp_path / "inputs", {}, StopRequest())


def test_a_directory_is_used_in_place(tmp_path: Path) -> None:
    data = a_folder(tmp_path / "data", {"train.jsonl": b"{}"})

    assert fetch_data(str(data), tmp_path) == data
    assert fetch_data(data.as_uri(), tmp_path) == data


def test_a_single_file_is_used_in_place(tmp_path: Path) -> None:
    data = a_folder(tmp_path / "data", {"train.jsonl": b"{}"}) / "train.jsonl"

    assert fetch_data(str(data), tmp_path) == data


@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        pytest.param(
            "notes.docx",
            b"PK",
            "UnknownFileType: dataset_name: notes.docx has an unsupported file type: it is a "
            "document",
            id="a kind that is not read",
        ),
        pytest.param(
            "notes.rst",
            b"PK",
            "UnknownFileType: dataset_name: notes.rst has an unsupported file type",
            id="a suffix that is not known",
        ),
        pytest.param(
            "train.csv", b"", "EmptyDataset: dataset_name: train.csv is empty", id="an empty file"
        ),
    ],
)
def test_a_file_that_cannot_be_data_is_refused_before_torch_is_imported(
    name: str, body: bytes, sentence: str, tmp_path: Path
) -> None:
    a_folder(tmp_path, {name: body})

    with pytest.raises(AttemptFailed) as caught:
        fetch_data(str(tmp_path / name), tmp_path)

    failure = caught.value.failure
    assert f"{failure.reason}: {failure.message}" == sentence
    assert failure.category is Category.USER


@pytest.mark.parametrize("name", ["org/data", "hf://datasets/org/data", "data"])
def test_hub_names_are_left_to_the_hub(name: str, tmp_path: Path) -> None:
    assert fetch_data(name, tmp_path) is None


def test_a_missing_path_names_its_neighbours(tmp_path: Path) -> None:
    a_folder(tmp_path / "data" / "windrose", {"train.jsonl": b"{}"})

    with pytest.raises(AttemptFailed) as caught:
        fetch_data(str(tmp_path / "data" / "windrsoe"), tmp_path)

    failure = caught.value.failure
    assert (failure.category, failure.reason) == (Category.USER, "DatasetNotFound")
    assert "windrsoe" in failure.message
    assert failure.remedy == f"set dataset_name to {tmp_path}/data/windrose"


def test_a_directory_without_a_model_is_refused_with_its_contents(tmp_path: Path) -> None:
    folder = a_folder(tmp_path / "model", {"README.md": b"#"})

    with pytest.raises(AttemptFailed, match=r"no config.json, but README.md") as caught:
        fetch("model_name_or_path", str(folder), tmp_path / "inputs", {}, StopRequest())

    assert caught.value.failure.reason == "ModelNotFound"


def test_a_store_without_credentials_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AttemptFailed) as caught:
        fetch_data("s3://datasets/windrose", tmp_path)

    failure = caught.value.failure
    assert failure.reason == "CredentialsMissing"
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in failure.remedy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("hf://org/model", "org/model", id="model"),
        pytest.param("hf://datasets/org/data", "org/data", id="dataset"),
        pytest.param("hf://datasets/org/data/", "org/data", id="all of a dataset"),
        pytest.param(
            "hf://datasets/org/data@v1/train.jsonl",
            "hf://datasets/org/data@v1/train.jsonl",
            id="a file in it, which the ranks open by its URI",
        ),
        pytest.param("org/model", "org/model", id="plain"),
    ],
)
def test_hub_names_lose_their_scheme(name: str, expected: str) -> None:
    assert locations.hub_name(name) == expected


def test_only_an_identical_file_downloaded_again_is_the_same_to_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """datasets identifies a file by name and time, so it finds its prepared rows again."""
    stored = tmp_path / "bucket"
    stored.mkdir()
    monkeypatch.setattr(fetching, "open_store", lambda name, environment: FolderStore(stored))

    def time_of(content: str) -> float:
        (stored / "train.jsonl").write_text(content)
        folder = tmp_path / "inputs"
        shutil.rmtree(folder, ignore_errors=True)
        fetching.fetch("dataset_name", "s3://bucket", folder, {}, StopRequest())
        return (folder / "train.jsonl").stat().st_mtime

    rows = '{"text": "a"}\n'
    assert time_of(rows) == time_of(rows)
    assert time_of(rows) != time_of('{"text": "b"}\n')
