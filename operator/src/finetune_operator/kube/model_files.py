# SPDX-License-Identifier: Apache-2.0
"""Reads parts of a model's files on the hub: its index, and the header of one file.

At most three requests, each for at most a MiB. Whatever cannot be read is unknown, and the trainer
reads more before it downloads the model. The hub and the model are untrusted.
"""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import aiohttp

from finetune_spec.base_model.damage import remedy_of
from finetune_spec.base_model.files import (
    CONFIG,
    INDEX,
    LFS_POINTER,
    SAFETENSORS,
    ModelFiles,
    find_damage,
)
from finetune_spec.base_model.headers import (
    LENGTH_BYTES,
    Header,
    parse_header,
    parse_index,
    parse_length,
)
from finetune_spec.base_model.targets import without_numbers
from finetune_spec.base_model.tensors import is_embedding
from finetune_spec.job import KnownModel

LARGEST_INDEX = 1024**2
LARGEST_HEADER = 1024**2
BEGINNING_BYTES = 64 * 1024
"""It contains the complete header of most files."""
HEADER_SECONDS = 1.0
"""Large files are often on other servers, which the operator may not be able to reach."""
MOST_MODULES = 100

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}\.safetensors")
_PLACE = re.compile(r"bytes (\d{1,18})-.{0,50}")


async def find_files(session: aiohttp.ClientSession, config_url: str) -> ModelFiles | None:
    """The files next to this `config.json`; None if unknown.

    Raises:
        ClientError: the response is invalid, or the hub does not respond.
    """
    if not config_url.endswith(f"/{CONFIG}"):
        return None
    folder = config_url.removesuffix(CONFIG)
    content = await _read(session, f"{folder}{INDEX}", 0, LARGEST_INDEX)
    if content is None:
        header = await _read_header(session, f"{folder}{SAFETENSORS}")
        return None if header is None else _of_one_file(header)
    index = await asyncio.to_thread(parse_index, content, INDEX)
    name = next(filter(is_embedding, index.tensors), None)
    if len(content) == LARGEST_INDEX or name is None or not _FILE.fullmatch(index.tensors[name]):
        return None
    header = await _read_header(session, f"{folder}{index.tensors[name]}")
    return ModelFiles(
        names=(INDEX,),
        pointers=(index.tensors[name],) if header is _POINTER else (),
        tensors=tuple(index.tensors),
        embedding=header.shapes.get(name, ()) if header is not None else (),
    )


def known_model(config: Mapping[str, Any], files: ModelFiles | None) -> KnownModel:
    """The facts of a model that are kept."""
    if files is None:
        return KnownModel(config=config)
    damage = find_damage(files, config)
    modules = without_numbers(files.modules)
    return KnownModel(
        config=config,
        damage="" if damage is None else f"{damage.message}: {remedy_of(damage, on_hub=True)}",
        modules=modules if len(modules) <= MOST_MODULES else (),
    )


_POINTER = Header(shapes={}, types=frozenset(), end=0)
"""Of a Git LFS pointer, which has no header."""


def _of_one_file(header: Header) -> ModelFiles:
    return ModelFiles(
        names=(SAFETENSORS,),
        pointers=(SAFETENSORS,) if header is _POINTER else (),
        tensors=header.shapes,
        shapes=header.shapes,
    )


async def _read_header(session: aiohttp.ClientSession, url: str) -> Header | None:
    """None if it cannot be read."""
    try:
        async with asyncio.timeout(HEADER_SECONDS):
            return await _request_header(session, url)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None


async def _request_header(session: aiohttp.ClientSession, url: str) -> Header | None:
    """
    Raises:
        ClientError: the response is invalid, or the server does not respond.
        ValueError: the response is not a file of weights.
    """
    beginning = await _read(session, url, 0, BEGINNING_BYTES)
    if beginning is None:
        return None
    if beginning.startswith(LFS_POINTER):
        return _POINTER
    end = LENGTH_BYTES + parse_length(beginning)
    if end > LARGEST_HEADER:
        return None
    if end > len(beginning):
        rest = await _read(session, url, len(beginning), end - len(beginning))
        if rest is None:
            return None
        beginning += rest
    return await asyncio.to_thread(parse_header, beginning[LENGTH_BYTES:end])


async def _read(session: aiohttp.ClientSession, url: str, start: int, length: int) -> bytes | None:
    """At most these bytes of a file; None if the hub does not send them."""
    headers = {"Range": f"bytes={start}-{start + length - 1}"}
    async with session.get(url, headers=headers, max_redirects=3) as response:
        place = _PLACE.fullmatch(response.headers.get("Content-Range", ""))
        is_part = response.status == 206 and place is not None and int(place[1]) == start
        if not is_part and (response.status != 200 or start):
            return None
        content = b""
        while not response.content.at_eof() and len(content) < length:
            content += await response.content.read(length - len(content))
    return content
