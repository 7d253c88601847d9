# SPDX-License-Identifier: Apache-2.0
"""A data file of a test, what is known of it, and the rows that it is made of. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ROWS = 8

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """A data file, and what is known of it."""

    name: str
    body: bytes
    how: str
    """What was done to it, in words."""
    rows: int | None = ROWS
    """How many rows it holds; None where that is anybody's guess."""
    unusable: int = 0
    """How many of them cannot be trained on as they are: dropped, or the file is refused."""
    is_sound: bool = False
    """Whether it must be trained on, every row of it."""
    texts: frozenset[str] | None = None
    """What its rows say, as the tokens of a training decode; None where that is not known."""
    never_learnt: str = ""
    """A text of it that must not count for the loss."""
    told: str = ""
    """What its user must read of, should it be trained on."""


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
    """What is trained on of sound rows: as they stand, or as SmolLM2's template writes them."""
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
