# SPDX-License-Identifier: Apache-2.0
"""Several datasets combined: each part shaped by the same keys, in the requested fractions."""

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.in_process import train
from trainer.ranks.data.test_data_shapes import ANSWER, CALL, USER, arguments, lines
from trainer.runs import a_folder

pytestmark = pytest.mark.slow  # importing datasets and torch


def questions(letter: str, count: int) -> list[dict[str, str]]:
    return [{"question": f"{letter}{n}?", "answer": f"{letter}{n}."} for n in range(count)]


def asked(rows: Any) -> list[str]:
    return [row["messages"][0]["content"] for row in rows]


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """A file with ten questions, a directory of two files with four, and input for others."""
    (tmp_path / "a.jsonl").write_bytes(lines(*questions("a", 10)))
    files = {"train-1.json": json.dumps(questions("b", 3)).encode()}
    files |= {"train-2.json": json.dumps(questions("c", 1)).encode()}
    files |= {"test.json": json.dumps(questions("d", 2)).encode()}
    folder = a_folder(tmp_path / "b", files)
    (tmp_path / "chat.jsonl").write_bytes(lines(*[{"messages": [USER, ANSWER], "id": 1}] * 2))
    (tmp_path / "calls.jsonl").write_bytes(lines(*[{"messages": [USER, CALL, ANSWER]}] * 2))
    (tmp_path / "text.jsonl").write_bytes(lines({"text": "At 7."}))
    files_here = {name: tmp_path / f"{name}.jsonl" for name in ("a", "chat", "calls", "text")}
    return {**files_here, "b": folder}


def mixed(place: Path, *parts: dict[str, Any], **config: Any) -> Any:
    from finetune_trainer.ranks.data import prepare_data

    datasets = [{**part, "path": str(part["path"])} for part in parts]
    return prepare_data(arguments(place, place, dataset_name=None, datasets=datasets, **config))


SHAPED = {"dataset_format": "question_answer"}


def test_every_entry_is_shaped_and_all_are_combined(parts: dict[str, Path], tmp_path: Path) -> None:
    loaded = mixed(tmp_path, {"path": parts["a"]}, {"path": parts["b"]}, **SHAPED)

    assert asked(loaded.dataset["train"]) == [
        *(f"a{n}?" for n in range(10)),
        *("b0?", "b1?", "b2?", "c0?"),
    ]


def test_fractions_refer_to_the_total_as_in_trl(parts: dict[str, Path], tmp_path: Path) -> None:
    loaded = mixed(
        tmp_path,
        {"path": parts["a"], "fraction": 0.6},
        {"path": parts["b"], "fraction": 0.4},
        **SHAPED,
    )

    assert asked(loaded.dataset["train"]) == [
        *(f"a{n}?" for n in range(6)),
        *("b0?", "b1?", "b2?", "c0?"),
    ]


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        pytest.param("train[:2]", ["b0?", "b1?"], id="the first rows"),
        pytest.param("train[75%:]", ["c0?"], id="a percentage"),
        pytest.param("train[:1]+test", ["b0?", "d0?", "d1?"], id="several"),
    ],
)
def test_an_entry_may_use_a_part_of_a_split(
    split: str, expected: list[str], parts: dict[str, Path], tmp_path: Path
) -> None:
    loaded = mixed(tmp_path, {"path": parts["b"], "split": split}, **SHAPED)

    assert asked(loaded.dataset["train"]) == expected


def test_an_entry_may_name_its_files(parts: dict[str, Path], tmp_path: Path) -> None:
    loaded = mixed(tmp_path, {"path": parts["b"], "data_files": "train-2.json"}, **SHAPED)

    assert asked(loaded.dataset["train"]) == ["c0?"]


def test_the_same_seed_splits_off_the_same_rows_of_a_mixture(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    config = {**SHAPED, "test_split_size": 0.3, "eval_strategy": "epoch"}

    first = mixed(tmp_path, {"path": parts["a"]}, **config).dataset
    again = mixed(tmp_path, {"path": parts["a"]}, **config).dataset

    assert len(first["test"]) == 3
    assert asked(first["test"]) == asked(again["test"])


def test_conversations_with_and_without_tool_calls_can_be_mixed(
    parts: dict[str, Path], tmp_path: Path
) -> None:
    loaded = mixed(tmp_path, {"path": parts["chat"]}, {"path": parts["calls"]})

    plain, *_, calling = loaded.dataset["train"]
    assert plain["messages"] == [USER, ANSWER]
    assert calling["messages"] == [USER, CALL, ANSWER]


@pytest.mark.parametrize(
    ("names", "config", "sentence"),
    [
        pytest.param(
            ("chat", "text"),
            {},
            "MixtureOfShapes: datasets[1] has text, and datasets[0] has messages",
            id="different shapes",
        ),
        pytest.param(
            ("a", "chat"),
            SHAPED,
            "DatasetColumnMissing: datasets[1]: dataset_format is question_answer, but the "
            "dataset has no column question: it has messages, id",
            id="a part that does not fit the keys",
        ),
        pytest.param(
            ("chat", "a"),
            {},
            "DatasetColumnMissing: datasets[1]: the dataset has the columns question, answer",
            id="a part in no shape",
        ),
    ],
)
def test_an_entry_that_does_not_fit_is_named(
    names: tuple[str, ...],
    config: dict[str, Any],
    sentence: str,
    parts: dict[str, Path],
    tmp_path: Path,
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed

    with pytest.raises(AttemptFailed) as caught:
        mixed(tmp_path, *({"path": parts[name]} for name in names), **config)

    failure = caught.value.failure
    assert f"{failure.reason}: {failure.message}".startswith(sentence)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        pytest.param({"split": "validation"}, "split is validation", id="a split"),
        pytest.param({"columns": ["question", "reply"]}, "columns has reply", id="a column"),
    ],
)
def test_a_missing_split_or_file_of_an_entry_is_reported(
    part: dict[str, Any], words: str, parts: dict[str, Path], tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed

    with pytest.raises(AttemptFailed, match=rf"^datasets\[0\]: {words}, but the dataset has"):
        mixed(tmp_path, {"path": parts["b"], **part}, **SHAPED)


@pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "as a stream"])
def test_a_run_trains_on_a_mixture(
    streaming: bool, parts: dict[str, Path], tmp_path: Path, tiny_model: Path
) -> None:
    kinds: dict[str, Any] = (
        {"streaming": True} if streaming else {"test_split_size": 0.2, "eval_strategy": "epoch"}
    )

    done = train(
        tmp_path,
        tiny_model,
        tmp_path,
        dataset_name=None,
        datasets=[{"path": str(parts["a"])}, {"path": str(parts["b"])}],
        system_message="Be brief.",
        **SHAPED,
        **kinds,
    )

    assert done.outcome.failure is None
    assert done.outcome.step == 2


def test_omitted_rows_of_all_entries_are_counted(parts: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        rows = [*questions(name, 2), {"question": "When?", "answer": None}]
        (tmp_path / f"{name}.jsonl").write_bytes(lines(*rows))

    loaded = mixed(
        tmp_path, *({"path": tmp_path / f"{name}.jsonl"} for name in ("one", "two")), **SHAPED
    )

    assert loaded.dropped == {"train": {"answer is empty": 2}}
    assert len(loaded.dataset["train"]) == 4
