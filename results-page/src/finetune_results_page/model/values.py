# SPDX-License-Identifier: Apache-2.0
"""Sanitizes values that a tenant can write: bounded in length, depth and size."""

import json
import math
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

TEXT_LENGTH: Final = 300
"""Limit for a single text, in characters."""

LARGEST: Final = 1e100
"""Limit for a number. Larger ones leave no room to draw or to add."""

DEPTH: Final = 24
"""Limit for nested values. Python's own limit would stop a page that shows deeper ones."""

ENTRIES: Final = 2000
"""Limit for one mapping or list."""

_DIGITS: Final = 300
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
"""They change the order in which the surrounding text is shown."""


def parse_json(body: bytes) -> Any:
    """
    Raises:
        ValueError: this is not JSON, or it is nested deeper than can be read.
    """
    try:
        return json.loads(body, parse_int=_int_of)
    except RecursionError:
        raise ValueError("the answer is nested too deeply") from None


def clean(value: object, length: int = TEXT_LENGTH) -> str:
    """A text or a number as one text without control characters; "" for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    text = value if isinstance(value, str) else f"{value}"
    kept = text[: length + 1]
    shown = "".join(_harmless(character) for character in kept)
    return shown if len(kept) <= length else f"{shown[: length - 1]}…"


def number_of(value: object) -> float | None:
    """A finite number of a size that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def time_of(value: object) -> datetime | None:
    """A moment with its time zone, or None."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def mapping_of(value: object) -> Mapping[str, Any]:
    """This mapping, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def entries_of(value: object, limit: int = ENTRIES) -> list[Mapping[str, Any]]:
    """The mappings of a list, the first of them."""
    listed = value if isinstance(value, list) else []
    return [entry for entry in listed[:limit] if isinstance(entry, Mapping)]


def bounded(value: Any, depth: int = DEPTH) -> Any:
    """The value, cut if it is deep or large; parts that are cut off are shown as an ellipsis."""
    if isinstance(value, Mapping):
        if not depth:
            return "…"
        kept = {str(key): bounded(it, depth - 1) for key, it in islice(value.items(), ENTRIES)}
        return kept if len(value) <= ENTRIES else {**kept, "…": "…"}
    if isinstance(value, list):
        if not depth:
            return "…"
        items = [bounded(it, depth - 1) for it in value[:ENTRIES]]
        return items if len(value) <= ENTRIES else [*items, "…"]
    return value


def _int_of(digits: str) -> int | float:
    # Python refuses to convert more than 4300 digits.
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _harmless(character: str) -> str:
    if character in "\n\t":
        return character
    if character in _TURNING:
        return ""
    return "\ufffd" if unicodedata.category(character) in {"Cc", "Cs"} else character
