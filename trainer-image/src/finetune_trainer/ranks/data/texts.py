# SPDX-License-Identifier: Apache-2.0
"""Decides which values are texts: the text in the file, or none. Pure.

Readers keep each value of a CSV or JSON file as its text in the file. Files with types, such as
Parquet, have values that are not texts: an integer has one notation, all others have several, or
none.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


class Unfit(Exception):
    """The row is left out; the message is the reason, and the same for all rows with that
    reason.
    """


def text_of(value: Any, name: str) -> str:
    """A value as a text; empty for null.

    Raises:
        Unfit: it is not a text.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Unfit(f"{name} is {kind_of(value)}, expected a string")


def text_for_template(value: Any, name: str) -> str:
    """A value for a template: lists and objects as JSON.

    Raises:
        Unfit: it is, or contains, neither text nor JSON.
    """
    if not isinstance(value, Mapping | list):
        return text_of(value, name)
    try:
        return json.dumps(value, ensure_ascii=False)
    except TypeError:
        raise Unfit(
            f"{name} contains values that are neither text nor JSON, such as a date"
        ) from None


def needed(row: Row, column: str) -> str:
    """
    Raises:
        Unfit: this column is empty, or not a text.
    """
    text = text_of(row.get(column), column)
    if not text.strip():
        raise Unfit(f"{column} is empty")
    return text


def joined(content: Any) -> Any:
    """Content in parts that are all texts, as one text; any other content unchanged."""
    if not isinstance(content, list) or not content:
        return content
    if not all(_is_text_part(part) for part in content):
        return content
    return "".join(part["text"] for part in content)


def kind_of(value: Any) -> str:
    """The kind of a value, in words."""
    for kind, words in _KINDS:
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


_KINDS: Sequence[tuple[Any, str]] = (
    (type(None), "null"),
    (str, "a string"),
    (bool, "a boolean"),
    (int, "a number"),
    (float, "a number with a fraction"),
    (bytes, "bytes"),
    (Mapping, "an object"),
    (Sequence, "a list"),
)


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, Mapping)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
        and not any(value for name, value in part.items() if name not in ("type", "text"))
    )
