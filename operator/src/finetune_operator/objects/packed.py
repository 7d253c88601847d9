# SPDX-License-Identifier: Apache-2.0
"""Objects take as little memory as their text: the spec is packed until it is read.

A parsed JSON text takes up to twenty times its size. A replica keeps all jobs, and looks at one
spec at a time. Large ones are compressed besides, as soon as they come. No I/O here.
"""

import base64
import json
import marshal
import sys
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from finetune_operator.objects.raw import Body

PACKED_FROM_BYTES = 64 * 1024
"""Objects of a larger text are packed: no job that a person writes."""

_AT_HAND = 32
"""So many specs of usual size stay as they were read, for those that are looked at together."""

PACKED = "packedSpec"
"""The key in place of `spec` while an object goes through the runtime, which takes plain dicts."""


class PackedBody(Mapping[str, Any]):
    """An object like any other; its spec is unpacked where it is asked for."""

    __slots__ = ("_fields", "_packed")

    def __init__(self, fields: Mapping[str, Any], packed: str | bytes) -> None:
        self._fields = fields
        self._packed = packed

    def __getitem__(self, name: str) -> Any:
        if name != "spec":
            return self._fields[name]
        is_large = isinstance(self._packed, str)
        return _unpack(self._packed) if is_large else _load(self._packed)

    def __iter__(self) -> Iterator[str]:
        yield from self._fields
        yield "spec"

    def __len__(self) -> int:
        return len(self._fields) + 1


def pack(body: Body) -> dict[str, Any]:
    """A plain dict with the spec as text, and without the fields that nobody here reads."""
    fields: dict[str, Any] = without_managed_fields(body)
    if "spec" not in fields:
        return fields
    spec = json.dumps(fields.pop("spec"), separators=(",", ":")).encode()
    return {**fields, PACKED: base64.b64encode(zlib.compress(spec, 1)).decode()}


def as_kept(body: Body) -> Body:
    """What is kept of an object: no managed fields, and its spec packed."""
    if isinstance(body, PackedBody):
        return body
    if PACKED in body:
        fields = {name: value for name, value in body.items() if name != PACKED}
        return PackedBody(fields, body[PACKED])
    fields = without_managed_fields(body)
    if "spec" not in fields:
        return fields
    # Only ever read by this process: the interpreter's own format takes a tenth of JSON's time.
    return PackedBody(fields, marshal.dumps(fields.pop("spec")))


def without_managed_fields(body: Body) -> dict[str, Any]:
    """Half of an object's size, and nobody here reads it."""
    metadata = {
        # Each object that is parsed has the same few names anew.
        sys.intern(name): value
        for name, value in body["metadata"].items()
        if name != "managedFields"
    }
    return {**body, "metadata": metadata}


@lru_cache(maxsize=1)
def _unpack(packed: str) -> Any:
    """One is kept: a pass over a job reads its spec several times."""
    return json.loads(zlib.decompress(base64.b64decode(packed)))


@lru_cache(maxsize=_AT_HAND)
def _load(packed: bytes) -> Any:
    return marshal.loads(packed)  # noqa: S302 - as_kept has written it
