# SPDX-License-Identifier: Apache-2.0
"""A file with one JSON object: wrapped rows, columns as pandas writes them, or a row."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ASKED, SAID = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
ROWS = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}]
CHATS = [{"messages": [ASKED, SAID]}, {"messages": [SAID]}]


def rows_of(text: str) -> list[Any]:
    from finetune_trainer.ranks.data.readers.json_rows import numbered_rows

    return [row for _, row in numbered_rows(text.splitlines(keepends=True))]


@pytest.mark.parametrize("indent", [None, 2], ids=["in one line", "in many lines"])
@pytest.mark.parametrize(
    ("whole", "rows"),
    [
        pytest.param({"data": ROWS}, ROWS, id="wrapped"),
        pytest.param({"version": "1.1", "count": 2, "rows": ROWS}, ROWS, id="with a version"),
        pytest.param({"schema": {"fields": []}, "data": ROWS}, ROWS, id="pandas table"),
        pytest.param(
            {"prompt": ["a", "c"], "completion": ["b", "d"]}, ROWS, id="columns, pandas list"
        ),
        pytest.param({"text": ["a", "c"]}, [{"text": "a"}, {"text": "c"}], id="one column"),
        pytest.param(
            {"messages": [[ASKED, SAID], [SAID]]}, CHATS, id="one column of conversations"
        ),
        pytest.param(
            {"prompt": {"0": "a", "1": "c"}, "completion": {"0": "b", "1": "d"}},
            ROWS,
            id="columns, pandas default",
        ),
        pytest.param({"0": ROWS[0], "1": ROWS[1]}, ROWS, id="pandas index"),
        pytest.param(
            {"columns": list(ROWS[0]), "index": [0, 1], "data": [["a", "b"], ["c", "d"]]},
            ROWS,
            id="pandas split",
        ),
        pytest.param(ROWS, ROWS, id="a list"),
    ],
)
def test_rows_are_found_anywhere_in_a_file_with_one_object(
    whole: Any, rows: list[Any], indent: int | None
) -> None:
    assert rows_of(json.dumps(whole, indent=indent)) == rows


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"messages": [ASKED, SAID]}, id="a conversation"),
        pytest.param({"prompt": [ASKED], "completion": [SAID]}, id="two of them"),
        pytest.param({"conversations": [{"from": "human", "value": "a"}]}, id="ShareGPT"),
        pytest.param({"dialog": [ASKED, SAID]}, id="a conversation by another name"),
        pytest.param(
            {"messages": [ASKED, SAID], "tools": [{"name": "f"}, {"name": "g"}]}, id="with tools"
        ),
        pytest.param({"pair": ["a", "b"]}, id="a pair"),
        pytest.param({"text": "a", "parts": [{"x": "1"}]}, id="a text with parts"),
    ],
)
@pytest.mark.parametrize("indent", [None, 2], ids=["in one line", "in many lines"])
def test_a_single_row_stays_a_row(row: Any, indent: int | None) -> None:
    assert rows_of(json.dumps(row, indent=indent)) == [row]


def test_token_ids_are_one_row_and_not_a_column() -> None:
    (row,) = rows_of('{"input_ids": [1, 2], "labels": [1, 2]}')

    assert row["input_ids"] == ["1", "2"]


def test_several_lists_in_one_object_are_refused_with_the_files_to_write() -> None:
    from finetune_trainer.ranks.data.readers.tables import BrokenData

    with pytest.raises(BrokenData) as caught:
        rows_of(json.dumps({"train": ROWS, "test": ROWS[:1]}))

    assert str(caught.value) == "one object has several lists of rows: train, test"
    assert caught.value.remedy == "write each list into a separate file: train.json, test.json"


def test_lines_of_objects_are_rows_with_any_content() -> None:
    lines = [{"data": ROWS}, {"data": ROWS}]

    assert rows_of("".join(json.dumps(line) + "\n" for line in lines)) == lines
