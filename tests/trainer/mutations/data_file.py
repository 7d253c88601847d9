# SPDX-License-Identifier: Apache-2.0
"""A data file of a test, its known facts, and its rows. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ROWS = 8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file, and its known facts."""

    name: str
    body: bytes
    how: str
    """The change, in words."""
    rows: int | None = ROWS
    """The number of its rows; None if it is ambiguous."""
    unusable: int = 0
    """The number of rows that cannot be trained on unchanged: they are dropped, or the file is
    refused.
    """
    is_sound: bool = False
    """Whether every row of it must be trained on."""
    texts: frozenset[str] | None = None
    """The texts of its rows, as decoded from the tokens of a training; None if unknown."""
    never_learnt: str = ""
    """A text of it that must not count for the loss."""
    told: str = ""
    """The text that its user must read if it is trained on."""


def turns(place: int) -> Row:
    return {
        "messages": [
            {"role": "user", "content": f"Where is boat {place}?"},
            {"role": "assistant", "content": f"At pier {place}, the red one."},
        ]
    }


def pair(place: int) -> Row:
    return {"prompt": f"Where is boat {place}?", "completion": f" At pier {place}, the red one."}


def pair_of_turns(place: int) -> Row:
    user, assistant = turns(place)["messages"]
    return {"prompt": [user], "completion": [assistant]}


def text(place: int) -> Row:
    return {"text": f"Boat {place} lies at pier {place}, the red one."}


SHAPES: Mapping[str, Callable[[int], Row]] = {
    "messages": turns,
    "pair": pair,
    "pair of turns": pair_of_turns,
    "text": text,
}


def as_lines(rows: list[Row]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def texts_of(rows: list[Row]) -> frozenset[str]:
    """The training texts of valid rows: unchanged, or as SmolLM2's template renders them."""
    return frozenset(_text_of(row) for row in rows)


SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
END = "<|im_end|>"


def _text_of(row: Row) -> str:
    if "text" in row:
        return f"{row['text']}{END}"
    said = row.get("messages") or row["prompt"] + row["completion"]
    if isinstance(said, str):
        return f"{said}{END}"
    turns = [{"role": "system", "content": SYSTEM}, *said]
    return "".join(f"<|im_start|>{turn['role']}\n{turn['content']}{END}\n" for turn in turns)
