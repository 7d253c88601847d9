# SPDX-License-Identifier: Apache-2.0
"""Reads JSON of any depth: what is nested deeper than `DEEPEST` becomes null before it is parsed.

The API server takes objects of 10,000 levels, and Python's parser ends with a RecursionError long
before, for the whole list or watch event. Nothing that a job may say is so deep: what was cut is
refused by a rule of the spec, in a sentence. No I/O here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

DEEPEST = 100
"""Levels that are kept, those of the list around an object included; a spec may use 32 of them."""

# Possessive: a text without an end is read once, not once for each of its quotes.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def parse_json(content: bytes) -> Any:
    """
    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(cut_deep(content))


def cut_deep(content: bytes) -> bytes:
    """The same text where nothing is too deep."""
    if not _is_deep(content):
        return content
    return b"".join(_shallow_parts(content))


def _is_deep(content: bytes) -> bool:
    if content.count(b"{") + content.count(b"[") <= DEEPEST:
        return False
    depth = 0
    for bracket in _STRING.sub(b"", content).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _shallow_parts(content: bytes) -> Iterator[bytes]:
    depth, kept_from = 0, 0
    for token in _TOKEN.finditer(content):
        if token[0] in b"[{":
            depth += 1
            if depth == DEEPEST + 1:
                yield content[kept_from : token.start()]
        elif token[0] in b"]}":
            depth -= 1
            if depth == DEEPEST:
                yield b"null"
                kept_from = token.end()
    if depth <= DEEPEST:
        yield content[kept_from:]
