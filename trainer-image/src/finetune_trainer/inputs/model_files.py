# SPDX-License-Identifier: Apache-2.0
"""Reads the contents of a model's directory, at any location, in a few small reads. No torch here.

Only the beginning of each file is read; of weights, the header. The directory is untrusted: each
read is bounded, and so is the data that is kept.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_contract.limits import MAX_COUNT
from finetune_spec.base_model.files import (
    ADAPTER_CONFIG,
    CONFIG,
    INDEX,
    PICKLED,
    PICKLED_INDEX,
    SAFETENSORS,
    SENTENCEPIECE,
    TOKENIZER,
    ModelFiles,
)

WEIGHTS = ".safetensors"

_LENGTH_BYTES = 8
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_LARGEST_HEADER = 64 * 1024**2
_LARGEST_HEADERS = 256 * 1024**2
"""Of all files of a model together."""
_LARGEST_INDEX = 64 * 1024**2
_LARGEST_ADAPTER_CONFIG = 1024**2
_TOKENIZER_BEGINNING = 1024**2
"""It includes the added tokens; the vocabulary after them has megabytes."""
_ADDED_TOKENS = '"added_tokens":'
_MOST_WEIGHTS = 2_000
_MOST_TENSORS = 1_000_000
_MOST_DIMENSIONS = 16
_WHOLE_TYPES = ("F64", "F32", "F16", "BF16")
"""Types in which each number is a parameter: a quantized file packs several into one."""


class ModelFolder(Protocol):
    """The operations of a store, or a hub."""

    def names(self) -> list[str]: ...

    def size(self, path: str) -> int: ...

    def read_range(self, path: str, start: int, length: int) -> bytes: ...


@dataclass(slots=True)
class _Headers:
    """The sum of the headers that were read."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    is_whole: bool = True
    """Whether each number in the files is a parameter."""
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenFiles:
    """The readable contents of a directory."""

    files: ModelFiles
    has_parameters: bool
    """Whether all weights are tensors whose numbers are parameters."""


def look_at(place: ModelFolder) -> SeenFiles:
    """The contents of this directory.

    Raises:
        OSError: it cannot be read.
    """
    names = place.names()[: 100 * _MOST_WEIGHTS]
    index, indexed = _index_of(place, names)
    weights = _weights_of(names, indexed)
    pointers = [it for it in (*weights, *_others(names)) if is_pointer(place, it)]
    headers, broken = _Headers(), {}
    readable = [it for it in weights if it.endswith(WEIGHTS) and it not in pointers]
    for name in readable:
        try:
            _read_header(place, name, headers)
        except (InvalidDocument, ValueError) as error:
            broken[name] = str(error)
    is_complete = bool(readable) and len(readable) == len(weights) and not broken
    files = ModelFiles(
        names=frozenset(names),
        pointers=pointers,
        broken=broken,
        index=index,
        indexed=indexed,
        shapes=headers.shapes if is_complete else {},
        adapter_base=_adapter_base(place, names),
        added_tokens=_added_tokens(place, names),
    )
    return SeenFiles(files=files, has_parameters=is_complete and headers.is_whole)


def _index_of(place: ModelFolder, names: list[str]) -> tuple[str, tuple[str, ...]]:
    """The index that transformers would use, and the files that it names."""
    if SAFETENSORS in names:
        return "", ()  # It takes precedence over an index.
    name = next((it for it in (INDEX, PICKLED_INDEX) if it in names), "")
    if not name or (name == PICKLED_INDEX and PICKLED in names):
        return "", ()
    content = place.read_range(name, 0, _LARGEST_INDEX)
    try:
        files = parse_object(content, name, _LARGEST_INDEX).get("weight_map")
    except InvalidDocument:
        return "", ()
    listed = files.values() if isinstance(files, Mapping) else ()
    found = dict.fromkeys(it for it in listed if isinstance(it, str) and it and "/" not in it)
    return name, tuple(found)[:_MOST_WEIGHTS]


def _weights_of(names: list[str], indexed: tuple[str, ...]) -> list[str]:
    """The files that transformers loads: not a second copy in another layout, nor an adapter."""
    if indexed:
        return [it for it in indexed if it in names]
    if one := next((it for it in (SAFETENSORS, PICKLED) if it in names), None):
        return [one]
    found = [it for it in names if it.endswith(WEIGHTS) and not it.startswith(_NOT_THE_MODEL)]
    return sorted(found)[:_MOST_WEIGHTS]


_NOT_THE_MODEL = ("adapter_", "consolidated")


def _others(names: list[str]) -> Iterator[str]:
    """Files other than weights that Git LFS may have replaced."""
    yield from (it for it in (CONFIG, TOKENIZER, SENTENCEPIECE) if it in names)


def is_pointer(place: ModelFolder, name: str) -> bool:
    return place.read_range(name, 0, len(LFS_POINTER)) == LFS_POINTER


def _read_header(place: ModelFolder, name: str, found: _Headers) -> None:
    """Reads the JSON at the beginning: https://github.com/huggingface/safetensors#format.

    Raises:
        ValueError: there is none; the message continues after the file's name.
    """
    first = place.read_range(name, 0, _LENGTH_BYTES)
    length = int.from_bytes(first, "little")
    if len(first) < _LENGTH_BYTES or not 1 < length <= _LARGEST_HEADER:
        raise ValueError("is not a safetensors file: its beginning is invalid")
    found.bytes += length
    if found.bytes > _LARGEST_HEADERS:
        raise ValueError(f"has a header that is too long: {length} bytes")
    content = place.read_range(name, _LENGTH_BYTES, length)
    try:
        header = parse_object(content, "the header", _LARGEST_HEADER)
    except InvalidDocument:
        raise ValueError("is not a safetensors file: its header cannot be read") from None
    if len(header) + len(found.shapes) > _MOST_TENSORS:
        raise ValueError(f"lists more than {_MOST_TENSORS} tensors")
    end = 0
    for tensor, entry in header.items():
        if tensor == "__metadata__":
            continue
        shape, kind, last = _described(tensor, entry)
        found.shapes[tensor] = shape
        found.is_whole &= kind in _WHOLE_TYPES
        end = max(end, last)
    size, expected = place.size(name), _LENGTH_BYTES + length + end
    if size < expected:
        raise ValueError(f"is cut short: it has {size} bytes, and its header lists {expected}")


def read_shapes(place: ModelFolder, name: str) -> Mapping[str, tuple[int, ...]]:
    """The tensors of one file, from its header.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a safetensors file; the message continues after the file's name.
    """
    if is_pointer(place, name):
        raise ValueError("is a Git LFS pointer, not the content")
    headers = _Headers()
    _read_header(place, name, headers)
    return headers.shapes


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


def _adapter_base(place: ModelFolder, names: list[str]) -> str | None:
    """The base model that an adapter names, or "" if it names none."""
    if ADAPTER_CONFIG not in names:
        return None
    try:
        content = place.read_range(ADAPTER_CONFIG, 0, _LARGEST_ADAPTER_CONFIG)
        base = parse_object(content, ADAPTER_CONFIG).get("base_model_name_or_path")
    except InvalidDocument:
        return ""
    return base if isinstance(base, str) else ""


def _added_tokens(place: ModelFolder, names: list[str]) -> dict[str, int]:
    """From the beginning of a tokenizer.json; empty if they are not there."""
    if TOKENIZER not in names:
        return {}
    beginning = place.read_range(TOKENIZER, 0, _TOKENIZER_BEGINNING).decode(errors="ignore")
    begin = beginning.find(_ADDED_TOKENS)
    if begin < 0:
        return {}
    rest = beginning[begin + len(_ADDED_TOKENS) :].lstrip()
    try:
        tokens, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return {}
    return {
        token["content"]: token["id"]
        for token in (tokens if isinstance(tokens, list) else ())
        if isinstance(token, dict)
        and isinstance(token.get("content"), str)
        and type(token.get("id")) is int
    }
