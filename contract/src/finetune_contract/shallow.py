# SPDX-License-Identifier: Apache-2.0
"""Reads JSON of any depth: values nested deeper than `DEEPEST` become null before parsing.

The API server accepts objects of 10,000 levels, and Python's parser fails with a RecursionError
long before, for the complete list or watch event. No valid job is that deep: a rule of the spec
rejects a job that was cut, with a message. No I/O here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

DEEPEST = 100
"""Levels that are kept, including those of the list around an object; a spec may use 32 of them."""

# Possessive: an unterminated text is scanned once, not once for each of its quotes.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{]|[\]}]', re.DOTALL)
_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*+"')
_PEELED = 4
_ALL_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))


def parse_json(content: bytes) -> Any:
    """
    Raises:
        ValueError: it is not JSON.
    """
    # Decoded here: the parser would also accept UTF-16, of which no bracket was counted.
    return json.loads(cut_deep(content).decode())


def cut_deep(content: bytes) -> bytes:
    """The same text if nothing is too deep."""
    if not _is_deep(content):
        return content
    return b"".join(_shallow_parts(content))


def _is_deep(content: bytes) -> bool:
    """Each object of a list or a watch is checked, so this must take less time than parsing it."""
    if content.count(b"{") + content.count(b"[") <= DEEPEST:
        return False
    plain = _ESCAPE.sub(b"", content) if b"\\" in content else content
    # Two quotes in a row are a string without brackets, or lie between two neighbouring strings.
    quoted = plain.translate(None, _ALL_OTHERS).replace(b'""', b"")
    brackets = left = _STRING.sub(b"", quoted)
    for _ in range(_PEELED):
        # Removes one or two levels.
        left = left.replace(b"{}", b"").replace(b"[]", b"")
    if len(left) + 2 * _PEELED <= DEEPEST:
        return False
    depth = 0
    for bracket in brackets:
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
