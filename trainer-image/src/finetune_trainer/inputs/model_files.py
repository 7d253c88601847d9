# SPDX-License-Identifier: Apache-2.0
"""Reads the contents of a model's directory, at any location, in a few small reads. No torch here.

Only the beginning of each file is read; of weights, the header. The directory is untrusted: each
read is bounded, and so is the data that is kept.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from finetune_contract.documents import InvalidDocument, parse_object
from finetune_spec.base_model.files import (
    ADAPTER_CONFIG,
    CONFIG,
    INDEX,
    LFS_POINTER,
    PICKLED,
    PICKLED_INDEX,
    SAFETENSORS,
    SENTENCEPIECE,
    TOKENIZER,
    ModelFiles,
)
from finetune_spec.base_model.headers import (
    LENGTH_BYTES,
    MOST_FILES,
    MOST_TENSORS,
    Index,
    parse_header,
    parse_index,
    parse_length,
)
from finetune_trainer.inputs.hub.bounded import TooMuch

WEIGHTS = ".safetensors"

_LARGEST_HEADERS = 256 * 1024**2
"""Limit for all files of a model together."""
_LARGEST_INDEX = 64 * 1024**2
_LARGEST_ADAPTER_CONFIG = 1024**2
_TOKENIZER_BEGINNING = 1024**2
"""It includes the added tokens; the vocabulary after them has megabytes."""
_ADDED_TOKENS = '"added_tokens":'
_WHOLE_TYPES = frozenset({"F64", "F32", "F16", "BF16"})
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


def look_at(
    place: ModelFolder, read_ahead: Callable[[list[str]], None] = lambda names: None
) -> SeenFiles:
    """The contents of this directory.

    `read_ahead` gets the files whose beginnings are read next.

    Raises:
        OSError: it cannot be read.
    """
    names = place.names()[: 100 * MOST_FILES]
    index_name, index = _index_of(place, names)
    weights = _weights_of(names, index.files)
    try:
        read_ahead([*weights, *_others(names)])
        pointers = [it for it in (*weights, *_others(names)) if is_pointer(place, it)]
        readable = [it for it in weights if it.endswith(WEIGHTS) and it not in pointers]
        headers, broken = _read_headers(place, readable)
    except TooMuch:
        pointers, readable, headers, broken = [], [], _Headers(), {}
    is_complete = bool(readable) and len(readable) == len(weights) and not broken
    files = ModelFiles(
        names=frozenset(names),
        pointers=pointers,
        broken=broken,
        index=index_name,
        indexed=index.files,
        tensors=headers.shapes if is_complete else _named_in(index_name, index),
        shapes=headers.shapes if is_complete else {},
        adapter_base=_adapter_base(place, names),
        added_tokens=_added_tokens(place, names),
    )
    return SeenFiles(files=files, has_parameters=is_complete and headers.is_whole)


def _index_of(place: ModelFolder, names: list[str]) -> tuple[str, Index]:
    """The index that transformers would use."""
    if SAFETENSORS in names:
        return "", Index()  # It takes precedence over an index.
    name = next((it for it in (INDEX, PICKLED_INDEX) if it in names), "")
    if not name or (name == PICKLED_INDEX and PICKLED in names):
        return "", Index()
    index = parse_index(place.read_range(name, 0, _LARGEST_INDEX), name)
    return (name, index) if index.files else ("", Index())


def _named_in(name: str, index: Index) -> Collection[str]:
    # An older format may name its tensors otherwise than the rules expect.
    return tuple(index.tensors) if name == INDEX else ()


def _weights_of(names: list[str], indexed: tuple[str, ...]) -> list[str]:
    """The files that transformers loads: not a second copy in another layout, nor an adapter."""
    if indexed:
        return [it for it in indexed if it in names]
    if one := next((it for it in (SAFETENSORS, PICKLED) if it in names), None):
        return [one]
    found = [it for it in names if it.endswith(WEIGHTS) and not it.startswith(_NOT_THE_MODEL)]
    return sorted(found)[:MOST_FILES]


_NOT_THE_MODEL = ("adapter_", "consolidated")


def _others(names: list[str]) -> Iterator[str]:
    """Files other than weights that Git LFS may have replaced."""
    yield from (it for it in (CONFIG, TOKENIZER, SENTENCEPIECE) if it in names)


def is_pointer(place: ModelFolder, name: str) -> bool:
    return place.read_range(name, 0, len(LFS_POINTER)) == LFS_POINTER


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


def _read_headers(place: ModelFolder, names: list[str]) -> tuple[_Headers, dict[str, str]]:
    """The headers, and the files that have none, each with its problem."""
    headers, broken = _Headers(), {}
    for name in names:
        try:
            _read_header(place, name, headers)
        except (InvalidDocument, ValueError) as error:
            broken[name] = str(error)
    return headers, broken


def _read_header(place: ModelFolder, name: str, found: _Headers) -> None:
    """
    Raises:
        ValueError: there is none; the message continues after the file's name.
    """
    length = parse_length(place.read_range(name, 0, LENGTH_BYTES))
    found.bytes += length
    if found.bytes > _LARGEST_HEADERS:
        raise ValueError(f"has a header that is too long: {length} bytes")
    header = parse_header(place.read_range(name, LENGTH_BYTES, length))
    if len(header.shapes) + len(found.shapes) > MOST_TENSORS:
        raise ValueError(f"lists more than {MOST_TENSORS} tensors")
    found.shapes |= header.shapes
    found.is_whole &= header.types <= _WHOLE_TYPES
    size, expected = place.size(name), LENGTH_BYTES + length + header.end
    if size < expected:
        raise ValueError(f"is cut short: it has {size} bytes, and its header lists {expected}")


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
