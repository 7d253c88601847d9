# SPDX-License-Identifier: Apache-2.0
"""Realistic data files, spoiled in one way each; the same seed gives the same ones. Pure.

A spoiled file has the number of its rows and of unusable ones, so that a successful training can be
checked.
"""

import csv
import gzip
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from trainer.mutations import known_texts
from trainer.mutations.data_file import ROWS, SHAPES, DataFile, Row, as_lines, pair, texts_of, turns


def data_files(seed: int, count: int) -> Iterator[DataFile]:
    for number in range(count):
        dice = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
        shape = dice.choice(sorted(SHAPES))
        rows = [SHAPES[shape](place) for place in range(ROWS)]
        # Each in turn, so that a few dozen cover all of them.
        yield _WAYS[number % len(_WAYS)](dice, rows)


def _file(how: str, rows: list[Row], **known: Any) -> DataFile:
    return DataFile(name="train.jsonl", body=as_lines(rows), how=how, **known)


# One value of one row.


def _strange_value(dice: random.Random, rows: list[Row]) -> DataFile:
    row = dice.choice(rows)
    column = dice.choice(sorted(row))
    name, value = dice.choice(
        [
            ("null", None),
            ("an empty text", ""),
            ("an empty list", []),
            ("a number", 7),
            ("true", True),
            ("a mapping", {"a": 1}),
            ("a list of numbers", [1, 2]),
            ("a list of null", [None]),
            ("a list in a list", [[{"role": "user", "content": "Where?"}]]),
            ("a conversation as JSON in a text", json.dumps(turns(0)["messages"])),
        ]
    )
    # A number counts as its digits, and turns as JSON are read; an empty text next to others may be
    # intended.
    is_usable = isinstance(value, str | int) and not isinstance(row[column], list)
    row[column] = value
    is_usable = is_usable or name == "a conversation as JSON in a text"
    return _file(f"{column} is {name}", rows, unusable=0 if is_usable else 1)


def _strange_turn(dice: random.Random, rows: list[Row]) -> DataFile:
    for place, row in enumerate(rows):
        row.clear()
        row.update(turns(place))
    talk = dice.choice(rows)["messages"]
    turn = dice.choice(talk)
    name, spoil, unusable = dice.choice(_TURNS)
    spoil(talk, turn)
    return _file(f"a turn {name}", rows, unusable=unusable)


_TURNS: list[tuple[str, Callable[[list[Row], Row], Any], int]] = [
    ("without a role", lambda _, turn: turn.pop("role"), 1),
    ("without content", lambda _, turn: turn.pop("content"), 1),
    ("with null for a role", lambda _, turn: turn.update(role=None), 1),
    ("with null for content", lambda _, turn: turn.update(content=None), 1),
    ("with a number for content", lambda _, turn: turn.update(content=7), 0),
    ("with a list of numbers for content", lambda _, turn: turn.update(content=[1, 2]), 1),
    ("with a role of its own", lambda _, turn: turn.update(role="robot"), 0),
    ("with a role misspelt", lambda _, turn: turn.update(role="asistant"), 1),
    ("with a role in capitals", lambda _, turn: turn.update(role="USER"), 1),
    ("with one more key", lambda _, turn: turn.update(weight=1), 0),
    ("that is a string", lambda turns, turn: turns.insert(0, "hello"), 1),
    ("that is null", lambda turns, turn: turns.insert(0, None), 1),
    ("of the assistant first", lambda turns, turn: turns.reverse(), 0),
    ("twice", lambda turns, turn: turns.insert(0, dict(turn)), 0),
]


def _missing_column(dice: random.Random, rows: list[Row]) -> DataFile:
    row = dice.choice(rows)
    column = dice.choice(sorted(row))
    del row[column]
    if dice.random() < 0.5:
        row["note"] = "nothing else"
    return _file(f"a row without {column}", rows, unusable=1)


def _renamed_column(dice: random.Random, rows: list[Row]) -> DataFile:
    column = dice.choice(sorted(rows[0]))
    for row in rows:
        row[column.title()] = row.pop(column)
    return _file(f"{column} is called {column.title()}", rows, unusable=ROWS)


def _more_columns(dice: random.Random, rows: list[Row]) -> DataFile:
    said = texts_of(rows)
    for row in rows:
        row["note"] = dice.choice(["a", "b"])
    return _file("one more column", rows, is_sound=True, texts=said)


def _odd_text(dice: random.Random, rows: list[Row]) -> DataFile:
    name, text = dice.choice(
        [
            ("a NUL", "\x00"),
            ("half a surrogate pair", "\ud83d"),
            ("a special token", "<|im_start|>"),
            ("right-to-left marks", "\u202e"),
            ("a megabyte", "word " * 200_000),
            ("one word of 100 000 letters", "w" * 100_000),
            ("a template", "{{ messages }} {% raw %}"),
        ]
    )
    body = as_lines(rows).replace(b"boat", json.dumps(text)[1:-1].encode(), 1)
    body = body.replace(b"Boat", json.dumps(text)[1:-1].encode(), 1)
    return DataFile(name="train.jsonl", body=body, how=f"{name} in a text")


# The bytes of a file.


def _cut_off(dice: random.Random, rows: list[Row]) -> DataFile:
    body = as_lines(rows)
    return replace(
        _file("cut off in a line", rows),
        body=body[: dice.randrange(len(body) // 2, len(body) - 3)],
        rows=None,
    )


def _bytes_in(dice: random.Random, rows: list[Row]) -> DataFile:
    name, found = dice.choice([("a byte that is no UTF-8", b"\xff"), ("NUL bytes", b"\x00\x00")])
    body = as_lines(rows)
    place = dice.randrange(len(body))
    return replace(
        _file(f"{name} within", rows, unusable=1), body=body[:place] + found + body[place:]
    )


def _harmless(dice: random.Random, rows: list[Row]) -> DataFile:
    body = as_lines(rows)
    name, spoiled = dice.choice(
        [
            ("a byte order mark", b"\xef\xbb\xbf" + body),
            ("lines that end as in Windows", body.replace(b"\n", b"\r\n")),
            ("empty lines at the end", body + b"\n\n"),
            ("an empty line within", body.replace(b"\n", b"\n\n", 1)),
            ("no end of the last line", body.rstrip()),
            ("spaces before a line", b"  " + body),
        ]
    )
    return replace(_file(name, rows, is_sound=True, texts=texts_of(rows)), body=spoiled)


def _broken_json(dice: random.Random, rows: list[Row]) -> DataFile:
    lines = as_lines(rows).splitlines()
    place = dice.randrange(len(lines))
    name, line = dice.choice(
        [
            ("a line in single quotes", lines[place].replace(b'"', b"'")),
            ("a line that is a list", b"[1, 2]"),
            ("a line that is a string", b'"hello"'),
            ("a line that is null", b"null"),
            ("a line of words", b"hello"),
            ("a comma too many", lines[place][:-1] + b",}"),
            ("two objects in a line", lines[place] + lines[place]),
            ("a key twice", lines[place][:-1] + b"," + lines[place][1:]),
            ("NaN for a value", b'{"text": NaN}'),
            ("an object that is empty", b"{}"),
        ]
    )
    lines[place] = line
    # Readers of JSON lines read two objects as two rows, and the same value twice as one.
    unusable = 0 if name in ("two objects in a line", "a key twice") else 1
    return replace(_file(name, rows, unusable=unusable), body=b"\n".join(lines) + b"\n", rows=None)


def _empty(dice: random.Random, rows: list[Row]) -> DataFile:
    name = dice.choice(["train.jsonl", "train.json", "train.csv", "train.parquet", "train.txt"])
    # In a text file, brackets are text.
    body = dice.choice([b"", b"\n"] if name == "train.txt" else [b"", b"\n", b" ", b"[]", b"{}"])
    return DataFile(name=name, body=body, how=f"nothing in {name}", rows=0, unusable=1)


def _other_suffix(dice: random.Random, rows: list[Row]) -> DataFile:
    name = dice.choice(["train.parquet", "train.csv", "train.arrow", "train.jsonl.gz", "train.zip"])
    return DataFile(name=name, body=as_lines(rows), how=f"JSON lines in {name}", unusable=ROWS)


def _packed(dice: random.Random, rows: list[Row]) -> DataFile:
    packed = gzip.compress(as_lines(rows))
    if dice.random() < 0.4:
        name, said = "train.jsonl.gz", texts_of(rows)
        return DataFile(name=name, body=packed, how="gzip", is_sound=True, texts=said)
    if dice.random() < 0.5:
        cut = packed[: len(packed) // 2]
        return DataFile(name="train.jsonl.gz", body=cut, how="gzip cut off", unusable=ROWS)
    return DataFile(name="train.jsonl", body=packed, how="gzip in train.jsonl")


def _array(dice: random.Random, rows: list[Row]) -> DataFile:
    body = json.dumps(rows, indent=dice.choice([None, 2])).encode()
    if dice.random() < 0.5:
        name, said = "train.json", texts_of(rows)
        return DataFile(name=name, body=body, how="an array", is_sound=True, texts=said)
    return DataFile(name="train.json", body=body[: len(body) // 2], how="half an array", rows=None,
                    unusable=1)  # fmt: skip


def _table(dice: random.Random, rows: list[Row]) -> DataFile:
    rows = [pair(place) for place in range(ROWS)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    body = text.getvalue().encode()
    name, spoiled, known = dice.choice(
        [
            ("a table", body, {"is_sound": True, "texts": texts_of(rows)}),
            ("a table with a byte order mark", b"\xef\xbb\xbf" + body,
             {"is_sound": True, "texts": texts_of(rows)}),
            ("a quote that is never closed", body.replace(b"Where", b'"Where', 1),
             {"rows": None, "unusable": 1}),
            ("a row with too many fields", body + b"a,b,c,d\r\n", {"rows": None, "unusable": 1}),
            ("a row with too few fields", body + b"a\r\n", {"rows": ROWS + 1, "unusable": 1}),
            ("semicolons", body.replace(b",", b";"), {"rows": None, "unusable": 1}),
            ("no header", body.partition(b"\n")[2], {"rows": None, "unusable": 1}),
            ("a table cut off", body[: len(body) - 20], {"rows": None}),
            ("a table that is no UTF-8", body.replace(b"red", b"r\xe9d"), {"unusable": 1}),
        ]
    )  # fmt: skip
    return DataFile(name="train.csv", body=spoiled, how=name, **known)


def _columnar(dice: random.Random, rows: list[Row]) -> DataFile:
    import pyarrow as arrow
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows), buffer)
    body = buffer.getvalue()
    name, spoiled, known = dice.choice(
        [
            ("parquet", body, {"is_sound": True, "texts": texts_of(rows)}),
            ("parquet cut off", body[: len(body) // 2], {"unusable": ROWS}),
            ("parquet without its head", body[10:], {"unusable": ROWS}),
            # Without checksums, which few writers write, no reader can detect other values.
            ("parquet with a spoiled middle", body[:40] + bytes(20) + body[60:], {"rows": None}),
        ]
    )  # fmt: skip
    return DataFile(name="train.parquet", body=spoiled, how=name, **known)


_WAYS: tuple[Callable[[random.Random, list[Row]], DataFile], ...] = (
    _strange_value,
    _strange_value,
    _strange_turn,
    _strange_turn,
    _missing_column,
    _renamed_column,
    _more_columns,
    _odd_text,
    _cut_off,
    _bytes_in,
    _harmless,
    _broken_json,
    _broken_json,
    _empty,
    _other_suffix,
    _packed,
    _array,
    _table,
    _columnar,
    *known_texts.WAYS,
)
