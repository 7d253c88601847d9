# SPDX-License-Identifier: Apache-2.0
"""Parses a text into JSON, and refuses one that is too long or too deep. No I/O here.

It is the only reader of texts from tenants, hubs and buckets; `shallow` reads texts that must be
read anyway.
"""

import json
import re
from typing import Any

from finetune_contract.limits import MAX_DEPTH, MAX_DOCUMENT_BYTES

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class InvalidDocument(ValueError):
    """A document of the contract that cannot be read; the message has field and value."""


def parse_object(
    text: str | bytes, name: str, max_bytes: int = MAX_DOCUMENT_BYTES
) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
        InvalidDocument: it is not JSON, or not an object, or too long or too deep.
    """
    document = parse_value(text, name, max_bytes)
    if not isinstance(document, dict):
        raise InvalidDocument(f"{name} is {kind_of(document)}, expected an object")
    return document


def parse_value(text: str | bytes, name: str, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """The JSON value in `text`.

    Raises:
        InvalidDocument: it is not JSON, or too long or too deep.
    """
    _require_length(text, name, max_bytes)
    try:
        written = text if isinstance(text, str) else text.decode()
        document = json.loads(written)
        if "\\u" in written and _SURROGATE.search(written):
            # Half a surrogate pair can be read but not written again: `?` replaces it.
            written = json.dumps(document, ensure_ascii=False).encode(errors="replace").decode()
            document = json.loads(written)
        # A text with few brackets cannot be deep, and most documents have few.
        is_deep = written.count("[") + written.count("{") > MAX_DEPTH and is_deeper(
            document, MAX_DEPTH
        )
    except ValueError as error:
        raise InvalidDocument(f"{name} is not JSON: {error}") from None
    except RecursionError:
        is_deep = True
    if is_deep:
        raise InvalidDocument(f"{name} is nested more than {MAX_DEPTH} deep")
    return document


def value_in(text: str) -> Any:
    """The mapping or list in a JSON text, as TRL's own parser would read it; else None.

    Also None for a text that is too long or too deep.
    """
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return parse_value(text, "it")
    except InvalidDocument:
        return None


def is_deeper(document: Any, depth: int) -> bool:
    """Whether objects and lists are nested deeper than this; without recursion."""
    level: list[Any] = [[document]]
    for _ in range(depth + 1):
        level = [
            item
            for holder in level
            for item in (holder.values() if type(holder) is dict else holder)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return False
    return True


def version_of(document: dict[str, Any]) -> int:
    """The version field of a document.

    Raises:
        InvalidDocument: there is no valid version.
    """
    version = document.get("version")
    if type(version) is not int:
        found = f"{kind_of(version)} ({version!r:.60}), expected int"
        raise InvalidDocument(f"version is {'missing' if version is None else found}")
    return version


def kind_of(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _require_length(text: str | bytes, name: str, max_bytes: int) -> None:
    if len(text) > max_bytes:
        raise InvalidDocument(f"{name} has {len(text)} bytes, expected at most {max_bytes}")
