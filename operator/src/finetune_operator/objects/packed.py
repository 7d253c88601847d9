# SPDX-License-Identifier: Apache-2.0
"""Keeps objects in as little memory as their text: the spec is packed until it is read.

A parsed JSON text takes up to twenty times its size. A replica caches all jobs, and reads a few
specs at a time. No I/O here.
"""

import marshal
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from finetune_operator.objects.raw import Body

_AT_HAND = 32
"""Number of specs that stay unpacked, for those that are read together."""


class PackedBody(Mapping[str, Any]):
    """An object like any other; its spec is unpacked on access."""

    __slots__ = ("_fields", "_spec")

    def __init__(self, fields: Mapping[str, Any], spec: bytes) -> None:
        self._fields = fields
        self._spec = spec

    def __getitem__(self, name: str) -> Any:
        return _unpack(self._spec) if name == "spec" else self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name == "spec" or name in self._fields

    def __iter__(self) -> Iterator[str]:
        yield from self._fields
        yield "spec"

    def __len__(self) -> int:
        return len(self._fields) + 1


def pack(body: Body) -> Body:
    """The same object with its spec packed, if it has one."""
    # Each parsed object repeats the same few names.
    metadata = {sys.intern(name): value for name, value in body["metadata"].items()}
    fields = {**body, "metadata": metadata}
    if "spec" not in fields:
        return fields
    # Only this process reads it: the interpreter's own format takes a tenth of JSON's time.
    return PackedBody(fields, marshal.dumps(fields.pop("spec")))


@lru_cache(maxsize=_AT_HAND)
def _unpack(spec: bytes) -> Any:
    return marshal.loads(spec)  # noqa: S302 - `pack` has written it
