# SPDX-License-Identifier: Apache-2.0
"""Data files that readers are known to misread, with their known texts. Pure."""

import csv
import io
import json
import random
from collections.abc import Callable
from typing import Any

from support.model_folders import POINTER
from trainer.mutations.data_file import ROWS, DataFile, Row, as_lines, pair, text, texts_of, turns

WORDS = (
    *("None", "NA", "N/A", "null", "nan", "NULL", "#N/A", "-", "nil", "<NA>"),
    *("007", "000", "1e5", "+5", "1.10", "-0", "0x1F", "1_000", "1,5", "Infinity"),
    *("True", "false", "yes", "2024-01-01", "2024-01-01T10:00:00Z", "12:30", "b'x'", "[1, 2]"),
)
"""Values that readers of tables misread as null, numbers, booleans, dates or code."""


def _with_words(dice: random.Random, rows: list[Row]) -> list[Row]:
    """Pairs whose answers, and some of whose questions, are such words."""
    is_question = dice.random() < 0.3
    return [
        {"prompt": dice.choice(WORDS) if is_question else f"Code {place}? ",
         "completion": dice.choice(WORDS)}
        for place in range(len(rows))
    ]  # fmt: skip


def _words_of_a_table(dice: random.Random, rows: list[Row]) -> DataFile:
    rows = _with_words(dice, rows)
    name, separator = dice.choice([("train.csv", ","), ("train.tsv", "\t")])
    written = io.StringIO()
    quoting = dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.DictWriter(written, list(rows[0]), delimiter=separator, quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return _sound(name, written.getvalue().encode(), "words that look like something else", rows)


def _words_of_json(dice: random.Random, rows: list[Row]) -> DataFile:
    rows = _with_words(dice, rows)
    how = "words that look like something else"
    return _sound("train.jsonl", as_lines(rows), f"{how}, as JSON", rows)


def _words_of_parquet(dice: random.Random, rows: list[Row]) -> DataFile:
    import pyarrow as arrow
    from pyarrow import parquet

    rows = _with_words(dice, rows)
    buffer = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), buffer)
    how = "words that look like something else, in Parquet"
    return _sound("train.parquet", buffer.getvalue(), how, rows)


def _numbers(dice: random.Random, rows: list[Row]) -> DataFile:
    """Numbers in place of texts count with the file's notation."""
    spelled = [dice.choice(["7", "1.10", "1E5", "-0", "123456789012345678901", "2.50"])
               for _ in rows]  # fmt: skip
    lines = [f'{{"prompt": "Code {n}? ", "completion": {it}}}' for n, it in enumerate(spelled)]
    said = [{"prompt": f"Code {n}? ", "completion": it} for n, it in enumerate(spelled)]
    return DataFile(
        name="train.jsonl",
        body="\n".join(lines).encode(),
        how="numbers for answers",
        texts=texts_of(said),
    )


def _wrapped(dice: random.Random, rows: list[Row]) -> DataFile:
    name, document = dice.choice(
        [
            ("rows below a key", {"data": rows}),
            ("rows below a key, with others", {"version": "1.0", "data": rows}),
            ("columns", {key: [row[key] for row in rows] for key in rows[0]}),
            ("columns of columns", {key: {str(n): row[key] for n, row in enumerate(rows)}
                                    for key in rows[0]}),
        ]
    )  # fmt: skip
    body = json.dumps(document, indent=dice.choice([None, 2])).encode()
    return DataFile(name="train.json", body=body, how=name, rows=None, texts=texts_of(rows))


def _as_text_of_json(dice: random.Random, rows: list[Row]) -> DataFile:
    """Columns with JSON texts are texts; conversations in that form are conversations."""
    said = [turns(place) for place in range(ROWS)]
    body = as_lines([{"messages": json.dumps(row["messages"])} for row in said])
    how = "conversations as JSON in a text"
    return DataFile(name="train.jsonl", body=body, how=how, texts=texts_of(said))


def _in_parts(dice: random.Random, rows: list[Row]) -> DataFile:
    said = [turns(place) for place in range(ROWS)]
    spoiled = [
        {
            "messages": [
                {**turn, "content": _parts(dice, turn["content"])} for turn in it["messages"]
            ]
        }
        for it in said
    ]
    return _sound("train.jsonl", as_lines(spoiled), "content in parts", said)


def _parts(dice: random.Random, words: str) -> Any:
    cut = dice.randrange(len(words))
    pieces = dice.choice([[words], [words[:cut], words[cut:]]])
    return [{"type": "text", "text": piece} for piece in pieces]


def _calls(dice: random.Random, rows: list[Row]) -> DataFile:
    """SmolLM2's template renders no calls, and so an empty answer is trained."""
    call = {"type": "function", "function": {"name": "find", "arguments": {"boat": 1}}}
    spoiled = [turns(place) for place in range(ROWS)]
    for row in spoiled[: dice.randint(1, ROWS)]:
        row["messages"][1] |= {"content": dice.choice(["", None]), "tool_calls": [call]}
        row["messages"].append({"role": "tool", "content": "pier 1"})
        row["messages"].append({"role": "assistant", "content": "At pier 1."})
    how = "calls that the template drops"
    return DataFile(name="train.jsonl", body=as_lines(spoiled), how=how, told="tool_calls")


def _weights(dice: random.Random, rows: list[Row]) -> DataFile:
    spoiled = [turns(place) for place in range(ROWS)]
    zero, one = dice.choice([(0, 1), (0.0, 1.0), (False, True)])
    for row in spoiled:
        wrong = {"role": "assistant", "content": "WRONG", "weight": zero}
        row["messages"][1]["weight"] = one
        row["messages"] = [{"role": "user", "content": "Hi"}, wrong, *row["messages"]]
    return DataFile(
        name="train.jsonl", body=as_lines(spoiled), how="weight: 0", never_learnt="WRONG"
    )


def _pointer(dice: random.Random, rows: list[Row]) -> DataFile:
    name = dice.choice(["train.jsonl", "train.json", "train.csv", "train.parquet", "train.txt"])
    how = f"a pointer of Git LFS in {name}"
    return DataFile(name=name, body=POINTER.encode(), how=how, rows=None, unusable=ROWS,
                    texts=frozenset())  # fmt: skip


def _dates(dice: random.Random, rows: list[Row]) -> DataFile:
    dates = ["2024-01-01", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00", "12:30:00"]
    rows = [{"text": dice.choice(dates)} for _ in rows]
    return _sound("train.jsonl", as_lines(rows), "dates", rows)


def _with_empty_columns(dice: random.Random, rows: list[Row]) -> DataFile:
    """Further columns are null, or change their type from row to row."""
    shape = dice.choice([pair, text])
    said = [shape(place) for place in range(ROWS)]
    odd = [None, 7, "x", [1], {"a": None}, True, 1.5, ""]
    spoiled = [{**row, "note": odd[place]} for place, row in enumerate(said)]
    return _sound("train.jsonl", as_lines(spoiled), "a column of many types", said)


def _sound(name: str, body: bytes, how: str, said: list[Row]) -> DataFile:
    return DataFile(name=name, body=body, how=how, is_sound=True, texts=texts_of(said))


WAYS: tuple[Callable[[random.Random, list[Row]], DataFile], ...] = (
    _words_of_a_table,
    _words_of_json,
    _words_of_parquet,
    _numbers,
    _wrapped,
    _as_text_of_json,
    _in_parts,
    _calls,
    _weights,
    _pointer,
    _dates,
    _with_empty_columns,
)
