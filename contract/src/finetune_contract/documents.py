# SPDX-License-Identifier: Apache-2.0
"""From a text to the JSON object in it, neither too long nor too deep. No I/O here."""

import json
import re
from collections.abc import Mapping
from typing import Any

from finetune_contract.limits import MAX_DEPTH, MAX_DOCUMENT_BYTES

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidDocument(ValueError):
    """A document of the contract that cannot be read: it says which field, and what was found."""


def parse_object(
    text: str | bytes, name: str, max_bytes: int = MAX_DOCUMENT_BYTES
) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
        InvalidDocument: it is not JSON, or not an object, or too long or too deep.
    """
    if len(text) > max_bytes:
        raise InvalidDocument(f"{name} has {len(text)} bytes, expected {max_bytes} at most")
    try:
        written = text if isinstance(text, str) else text.decode()
        document = json.loads(written)
        if "\\u" in written and _SURROGATE.search(written):
            document = _without_half_pairs(document)
    except ValueError as error:
        raise InvalidDocument(f"{name} is not JSON: {error}") from None
    except RecursionError:
        raise InvalidDocument(_too_deep(name)) from None
    if not isinstance(document, dict):
        raise InvalidDocument(f"{name} is {kind_of(document)}, expected an object")
    # Few brackets can't be deep, and most documents have few.
    if written.count("[") + written.count("{") > MAX_DEPTH and _is_too_deep(document):
        raise InvalidDocument(_too_deep(name))
    return document


def version_of(document: Mapping[str, Any]) -> int:
    """What a document says of its own version.

    Raises:
        InvalidDocument: it says nothing of the kind.
    """
    if (version := document.get("version")) is None:
        raise InvalidDocument("version is missing")
    if type(version) is not int:
        raise InvalidDocument(f"version is {kind_of(version)} ({version!r:.60}), expected int")
    return version


def kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _without_half_pairs(document: Any) -> Any:
    """With `?` for half a surrogate pair: JSON has it, and it can't be encoded again."""
    return json.loads(json.dumps(document, ensure_ascii=False).encode(errors="replace"))


def _is_too_deep(document: dict[str, Any]) -> bool:
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for holder in level
            for item in (holder.values() if type(holder) is dict else holder)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def _too_deep(name: str) -> str:
    return f"{name} is nested more than {MAX_DEPTH} deep"
