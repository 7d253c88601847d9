# SPDX-License-Identifier: Apache-2.0
"""The header of a safetensors file, and the index of several. No I/O here.

Trainer, `finetune plan` and operator read them at different places. They are untrusted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.limits import MAX_COUNT

LENGTH_BYTES = 8
LARGEST_HEADER = 64 * 1024**2
MOST_TENSORS = 1_000_000
MOST_FILES = 2_000

_LARGEST_INDEX = 64 * 1024**2
_MOST_DIMENSIONS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The tensors of a file."""

    shapes: Mapping[str, tuple[int, ...]]
    types: frozenset[str]
    end: int
    """The number of bytes after the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The tensors of a model in several files."""

    files: tuple[str, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)
    """Each with its file."""


def parse_length(first: bytes) -> int:
    """The length of the header, from the first bytes of the file.

    Raises:
        ValueError: there is none; the message continues after the file's name.
    """
    length = int.from_bytes(first[:LENGTH_BYTES], "little")
    if len(first) < LENGTH_BYTES or not 1 < length <= LARGEST_HEADER:
        raise ValueError("is not a safetensors file: its beginning is invalid")
    return length


def parse_header(content: bytes) -> Header:
    """The JSON at the beginning: https://github.com/huggingface/safetensors#format.

    Raises:
        ValueError: it is not a header; the message continues after the file's name.
    """
    try:
        header = parse_object(content, "the header", LARGEST_HEADER)
    except InvalidDocument:
        raise ValueError("is not a safetensors file: its header cannot be read") from None
    if len(header) > MOST_TENSORS:
        raise ValueError(f"lists more than {MOST_TENSORS} tensors")
    header.pop("__metadata__", None)
    described = {name: _described(name, entry) for name, entry in header.items()}
    return Header(
        shapes={name: shape for name, (shape, _, _) in described.items()},
        types=frozenset(kind for _, kind, _ in described.values()),
        end=max((last for _, _, last in described.values()), default=0),
    )


def parse_index(content: bytes, name: str) -> Index:
    """The files directly next to the index; none if it cannot be read."""
    try:
        found = parse_object(content, name, _LARGEST_INDEX).get("weight_map")
    except InvalidDocument:
        return Index()
    pairs = found.items() if isinstance(found, Mapping) else ()
    tensors = {
        tensor: file for tensor, file in pairs if isinstance(file, str) and file and "/" not in file
    }
    return Index(files=tuple(dict.fromkeys(tensors.values()))[:MOST_FILES], tensors=tensors)


def _described(name: str, tensor: Any) -> tuple[tuple[int, ...], str, int]:
    """The shape, the type, and the end offset of a tensor.

    Raises:
        ValueError: it is not the entry of a tensor.
    """
    entry = tensor if isinstance(tensor, Mapping) else {}
    shape, places = entry.get("shape"), entry.get("data_offsets")
    if isinstance(shape, list) and len(shape) <= _MOST_DIMENSIONS:
        sizes = tuple(it for it in shape if type(it) is int and 0 <= it < MAX_COUNT)
        last = places[-1] if isinstance(places, list) and places else None
        if len(sizes) == len(shape) and type(last) is int:
            return sizes, str(entry.get("dtype")), last
    raise ValueError(f"is not a safetensors file: {name:.100} has no shape in its header")
