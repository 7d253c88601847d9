# SPDX-License-Identifier: Apache-2.0
"""Reading JSON documents with errors that name the field. No I/O here."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")


class InvalidDocument(ValueError):
    """A document of the contract that cannot be read: it says which field, and what was found."""


def parse_object(text: str | bytes, name: str) -> Mapping[str, Any]:
    """The JSON object in `text`.

    Raises:
        InvalidDocument: it is not JSON, or not an object.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidDocument(f"{name} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InvalidDocument(f"{name} is {_kind(document)}, expected an object")
    return document


def require(document: Mapping[str, Any], field: str, kind: type[Value]) -> Value:
    """The field's value, of this type.

    Raises:
        InvalidDocument: the field is missing or of another type.
    """
    if field not in document:
        raise InvalidDocument(f"{field} is missing")
    return _checked(document[field], field, kind)


def optional(document: Mapping[str, Any], field: str, kind: type[Value]) -> Value | None:
    """The field's value, or None where the document leaves it out.

    Raises:
        InvalidDocument: the field is there with another type.
    """
    value = document.get(field)
    return None if value is None else _checked(value, field, kind)


def _checked(value: Any, field: str, kind: type[Value]) -> Value:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is a subclass of int, but `"step": true` is a mistake.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidDocument(
            f"{field} is {_kind(value)} ({value!r:.60}), expected {kind.__name__}"
        )
    return value


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
