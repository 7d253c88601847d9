# SPDX-License-Identifier: Apache-2.0
"""Limits of depth, length and size of a spec; the first check of all. No I/O here.

Any user who may create a job writes its spec, and the API server accepts 10,000 levels and three
megabytes. Within these bounds every other check takes milliseconds.
"""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from finetune_contract.limits import MAX_DEPTH
from finetune_spec.config.problem import Problem, quoted

MAX_TEXT = 32 * 1024
"""Characters of one text, and of a name."""

MAX_VALUES = 20_000
"""Values in total, with the mappings and lists that contain them."""

MAX_BYTES = 2**20 - 2**16
"""In total, as serialized in the run document: a ConfigMap may have 1 MiB, and has other
content.
"""

MAX_NUMBER = 2**64 - 1
"""In magnitude: torch's largest seed."""

_SHOWN = 40
"""Characters of a name in a path."""

_INDENT = 2
_PUNCTUATION = 4
"""Bytes of each value's punctuation."""

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_SUSPICIOUS = (b"\\u", b"e+", b"0" * len(str(MAX_NUMBER)))
"""In JSON with all digits replaced by zeros: signs of half a character or of too large a number."""

_encode = json.JSONEncoder(allow_nan=False).encode

KeyPath = tuple[Any, ...]
"""A key or index, and the place of its container: rendered only for a problem."""


def find_beyond(value: Any, path: str) -> Problem | None:
    """The first value that is beyond the bounds; without recursion."""
    if _is_plainly_within(value):
        return None
    size = count = 0
    waiting: list[tuple[Any, KeyPath, int]] = [(value, (), 0)]
    while waiting:
        item, place, depth = waiting.pop()
        inner = _inner(item)
        count += 1
        if count + len(waiting) + len(inner) > MAX_VALUES:
            return _problem(path, (), f"contains more than {MAX_VALUES} values: remove some")
        if message := _beyond(item) or (_TOO_DEEP if inner and depth == MAX_DEPTH else ""):
            return _problem(path, place, message)
        size += _length(item) + _INDENT * depth + _PUNCTUATION
        if size > MAX_BYTES:
            return _problem(path, (), f"is larger than {MAX_BYTES // 1024}Ki: remove some")
        for name, held in inner:
            if isinstance(name, str) and (message := _beyond_text(name)):
                return _problem(path, (name, place), f"its name {message}")
            size += _length(name)
            waiting.append((held, (name, place), depth + 1))
    return None


def _is_plainly_within(value: Any) -> bool:
    """Whether the JSON text of the complete spec shows that no value can be beyond the bounds: most
    specs pass, in a tenth of the time that a check of each value takes.
    """
    try:
        text = _encode(value).encode().translate(_DIGITS)
    except (TypeError, ValueError, RecursionError):
        return False
    if len(text) > MAX_BYTES or any(part in text for part in _SUSPICIOUS):
        return False
    # Signs inside texts count too, so these are upper limits. An escaped quote would split a text.
    levels = text.count(b"{") + text.count(b"[")
    values = levels + text.count(b",") + 1
    size = len(text) + values * (_INDENT * levels + _PUNCTUATION)
    longest = len(text) if b"\\" in text else max(map(len, text.split(b'"')))
    return (
        levels <= MAX_DEPTH and values <= MAX_VALUES and size <= MAX_BYTES and longest <= MAX_TEXT
    )


_TOO_DEEP = f"is nested more than {MAX_DEPTH} deep"


def _inner(item: Any) -> Collection[tuple[Any, Any]]:
    if isinstance(item, str | int | float):
        return ()
    if isinstance(item, Mapping):
        return item.items()
    return list(enumerate(item)) if isinstance(item, list | tuple) else ()


def _length(item: Any) -> int:
    return len(_encode(item)) if isinstance(item, str) else 0


def _beyond(item: Any) -> str:
    if isinstance(item, str):
        return _beyond_text(item)
    return _beyond_number(item) if isinstance(item, int | float) else ""


def _beyond_text(text: str) -> str:
    if len(text) > MAX_TEXT:
        return f"has {len(text)} characters, expected at most {MAX_TEXT}"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "contains half of a surrogate pair, which is not a valid character"
    return ""


def _beyond_number(number: float) -> str:
    if isinstance(number, float) and not math.isfinite(number):
        return f"found {quoted(number)}, expected a finite number"
    if abs(number) <= MAX_NUMBER:
        return ""
    # Python cannot render integers of thousands of digits.
    return "found a number of more than 64 bits, expected a smaller one"


def _problem(path: str, place: KeyPath, message: str) -> Problem:
    names = []
    while place:
        name, place = place
        names.append(f"[{name}]" if isinstance(name, int) else f".{_shown(str(name))}")
    return Problem(path=(path + "".join(reversed(names))).removeprefix("."), message=message)


def _shown(name: str) -> str:
    """A name, shortened for a sentence."""
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return short.encode(errors="replace").decode()
