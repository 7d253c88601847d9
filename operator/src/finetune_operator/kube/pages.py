# SPDX-License-Identifier: Apache-2.0
"""Parses responses of the API server: objects, pages of lists and watch events, large or deep.

Items are parsed one at a time, and large ones are reduced to outlines immediately: a page of 1 MB
jobs must not take twenty times its size. No I/O here.
"""

import json
import re
from typing import Any

from finetune_contract.shallow import cut_deep, parse_json
from finetune_operator.objects.large import LARGE_BYTES, LargeBody, outline_of
from finetune_operator.objects.raw import Body

MOST_PAGE_BYTES = 16 * 1024 * 1024
"""A longer response is abandoned, and requested in smaller pages."""

FIRST_PAGE = 20
LARGEST_PAGE = 500
_AIM_BYTES = MOST_PAGE_BYTES // 4

_ITEMS = re.compile(r'"items"\s*:\s*\[')
_ITEMS_IN_BYTES = re.compile(_ITEMS.pattern.encode())
_UID = re.compile(rb'"uid"\s*:\s*"([^"]*)"')
_BETWEEN = re.compile(r"[\s,]*")
_DECODER = json.JSONDecoder()


def parse_object(content: bytes) -> Body:
    """One complete object, or any other response.

    Raises:
        ValueError: it is not JSON.
    """
    body: Body = parse_json(content)
    is_object = isinstance(body, dict) and isinstance(body.get("metadata"), dict)
    return LargeBody(body) if is_object and len(content) > LARGE_BYTES else body


def parse_page(content: bytes) -> dict[str, Any]:
    """A list, with outlines of its large items.

    Raises:
        ValueError: it is not JSON.
    """
    if len(content) <= LARGE_BYTES:
        small: dict[str, Any] = parse_json(content)
        if isinstance(small, dict) and small.get("items", ()) is None:
            # The API server's form of an empty list of metadata.
            small["items"] = []
        return small
    text = cut_deep(content).decode()
    # The first is the list's own: only versions, kind and the token of the next page come before.
    begin = _ITEMS.search(text)
    if begin is None or not _is_outermost(text[: begin.start()]):
        # Another large response: the list of kinds.
        answer: dict[str, Any] = json.loads(text)
        return answer
    items, at = [], _skip(text, begin.end())
    while text[at] != "]":
        item, end = _DECODER.raw_decode(text, at)
        items.append(outline_of(item) if end - at > LARGE_BYTES else item)
        at = _skip(text, end)
    page = json.loads(text[: begin.end()] + text[at:])
    return {**page, "items": items}


def parse_uids(content: bytes) -> dict[str, Any]:
    """A list with uids instead of its items: theirs, and all others in them, such as their owners'.

    Items are not parsed, because that takes ten times as long: most of their metadata is about
    managed fields. A quote within a JSON string is escaped, so only a key is found.

    Raises:
        ValueError: the list's own fields are not JSON, or it does not end as a list does.
    """
    begin = _ITEMS_IN_BYTES.search(content)
    before = content[: begin.end()] if begin is not None else b""
    if b'"metadata"' in before and content[-8:].rstrip().endswith(b"]}"):
        page: dict[str, Any] = json.loads(before + b"]}")
        return {**page, "items": [it.decode() for it in _UID.findall(content, len(before))]}
    # In another order or form than the API server's.
    page = parse_page(content)
    return {**page, "items": [item["metadata"]["uid"] for item in page["items"]]}


def parse_event(line: bytes) -> dict[str, Any]:
    """A watch event, with an outline of a large object.

    Raises:
        ValueError: it is not JSON.
    """
    event: dict[str, Any] = json.loads(cut_deep(line))
    body = event["object"]
    if len(line) > LARGE_BYTES and "metadata" in body:
        event["object"] = outline_of(body)
    return event


def next_limit(limit: int, content_bytes: int, items: int) -> int:
    """How many objects to request after a page of this size."""
    if items == 0:
        return limit
    return max(1, min(_AIM_BYTES * items // content_bytes, 4 * limit, LARGEST_PAGE))


def _is_outermost(before: str) -> bool:
    """Whether a key that comes after this is one of the list itself."""
    return before.count("{") - before.count("}") == 1


def _skip(text: str, at: int) -> int:
    between = _BETWEEN.match(text, at)
    end = at if between is None else between.end()
    if end >= len(text):
        raise ValueError("the list does not end")
    return end
