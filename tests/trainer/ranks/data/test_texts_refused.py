# SPDX-License-Identifier: Apache-2.0
"""Values that are not texts are reported where a text is required, and change no text of the other
rows.
"""

from pathlib import Path
from typing import Any

import pytest

from trainer.ranks.data.test_data_shapes import arguments
from trainer.ranks.data.test_texts_as_they_stand import lines, spoken

pytestmark = pytest.mark.slow  # importing datasets and torch


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({}, id="on disk"),
        pytest.param({"dataset_streaming": True, "max_steps": 1}, id="as a stream"),
        pytest.param({"dataset_name": None, "datasets": [{"path": "train.parquet"}]}, id="mixed"),
        pytest.param(
            {"prompt_template": "{prompt}", "completion_template": "At {completion}."},
            id="by templates",
        ),
        pytest.param(
            {
                "dataset_format": "question_answer",
                "dataset_columns": {"question": "prompt", "answer": "completion"},
            },
            id="by a format",
        ),
    ],
)
@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param("timestamps", "timestamp[us]", id="dates and times"),
        pytest.param("dates", "date32", id="dates"),
        pytest.param("bytes", "binary", id="bytes"),
        pytest.param("floats", "float64", id="numbers with a fraction"),
        pytest.param("booleans", "bool", id="truth values"),
        pytest.param("decimals", "decimal128(3, 2)", id="decimals"),
    ],
)
def test_a_value_that_is_not_text_is_refused_with_its_column_and_type(
    values: str,
    kind: str,
    config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import pyarrow.parquet as pq

    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data

    monkeypatch.chdir(tmp_path)
    file = tmp_path / "train.parquet"
    pq.write_table(_typed(values), file)

    with pytest.raises(AttemptFailed) as caught:
        prepare_data(arguments(tmp_path, file, **config))

    failure = caught.value.failure
    assert f"the column completion of train is of the type {kind}" in failure.message
    assert "write completion as text" in failure.remedy


@pytest.mark.parametrize(
    ("turn", "why"),
    [
        pytest.param({"content": 7}, "a number", id="a number"),
        pytest.param({"content": 1.5}, "a number with a fraction", id="a fraction"),
        pytest.param({"content": True}, "a boolean", id="a truth value"),
    ],
)
def test_a_turn_without_text_is_omitted_with_the_reason(
    turn: dict[str, Any], why: str, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.data import prepare_data

    good = spoken([("When?", "At 7.")])
    bad = {"messages": [good[0]["messages"][0], {"role": "assistant", **turn}]}
    file = tmp_path / "train.jsonl"
    file.write_bytes(lines([*good, bad]))

    loaded = prepare_data(arguments(tmp_path, file))

    reason = f"messages has a turn whose content is {why}, expected a string"
    assert loaded.dropped == {"train": {reason: 1}}


@pytest.mark.parametrize(
    ("rows", "kept", "reason"),
    [
        pytest.param(
            [{"prompt": "007", "completion": "a"}, {"prompt": [spoken([("b", "c")])[0]]}],
            {"prompt": "007", "completion": "a"},
            "prompt has a turn without a role",
            id="no conversation",
        ),
        pytest.param(
            [
                {"prompt": "007", "completion": "1.10"},
                {"prompt": [{"role": "user", "content": "b"}], "completion": "c"},
            ],
            {"prompt": "007", "completion": "1.10"},
            "prompt is a list, unlike the first row's",
            id="a conversation among texts",
        ),
        pytest.param(
            [
                {"messages": [{"role": "user", "content": "007"}]},
                {"messages": "At 7."},
            ],
            {"messages": [{"role": "user", "content": "007"}]},
            "messages is a string, unlike the first row's",
            id="a text among conversations",
        ),
    ],
)
def test_a_row_of_another_type_than_the_first_does_not_change_other_rows(
    rows: list[Any], kept: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    from finetune_trainer.ranks.data import prepare_data

    file = tmp_path / "train.jsonl"
    file.write_bytes(lines(rows))

    loaded = prepare_data(arguments(tmp_path, file))

    assert list(loaded.dataset["train"]) == [kept]
    assert loaded.dropped == {"train": {reason: 1}}


@pytest.mark.parametrize("streaming", [False, True], ids=["on disk", "as a stream"])
@pytest.mark.parametrize(
    ("name", "body", "sentence"),
    [
        pytest.param(
            "train.jsonl",
            b'{"text": "a"}\n{"text": "b \\ud83d"}\n',
            "train.jsonl, line 2 contains an incomplete character: the surrogate \\ud83d",
            id="half of a character",
        ),
        pytest.param(
            "train.csv", b"text,text\na,b\n", "train.csv: the header names text twice", id="twice"
        ),
        pytest.param(
            "train.jsonl",
            b'{"text": ' + b"[" * 20_000 + b"]" * 20_000 + b"}\n",
            "nested too deeply",
            id="too deep",
        ),
    ],
)
def test_a_file_without_a_unique_text_is_refused(
    name: str, body: bytes, sentence: str, streaming: bool, tmp_path: Path
) -> None:
    from finetune_trainer.failures.errors import AttemptFailed
    from finetune_trainer.ranks.data import prepare_data
    from finetune_trainer.ranks.data.streams import naming_broken_lines

    file = tmp_path / name
    file.write_bytes(body)
    given = arguments(tmp_path, file, dataset_streaming=streaming, max_steps=1)

    with pytest.raises(AttemptFailed) as caught, naming_broken_lines(given):
        list(prepare_data(given).dataset["train"])

    assert sentence in caught.value.failure.message


def _typed(values: str) -> Any:
    import datetime
    from decimal import Decimal

    import pyarrow as pa

    day = datetime.date(2024, 1, 1)
    columns = {
        "timestamps": pa.array([datetime.datetime(2024, 1, 1, 10)], pa.timestamp("us")),  # noqa: DTZ001
        "dates": pa.array([day]),
        "bytes": pa.array([b"At 7."]),
        "floats": pa.array([1.5]),
        "booleans": pa.array([True]),
        "decimals": pa.array([Decimal("1.10")], pa.decimal128(3, 2)),
    }
    return pa.table({"prompt": ["When?"], "completion": columns[values]})
