# SPDX-License-Identifier: Apache-2.0
"""Manifests: the files that must exist, byte for byte, for a complete artifact. No I/O here.

A manifest is written last. Readers ignore files without one.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from finetune_contract.codec import document_of, read, read_object
from finetune_contract.documents import InvalidDocument, parse_object, version_of

MANIFEST_VERSION = 1

_SEPARATORS = re.compile(r"[/\\]")
_ELSEWHERE = re.compile(r"\0|^[A-Za-z]:")
"""A null byte, and a drive of Windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a manifest."""

    path: str
    """Relative to the manifest's own directory."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactManifest:
    """Files that belong together, and facts about them."""

    files: tuple[File, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def digest(self) -> str:
        """`sha256:...` of the canonical manifest: equal artifacts have equal digests."""
        return f"sha256:{hashlib.sha256(self.to_json().encode()).hexdigest()}"

    def is_complete(self, sizes: Mapping[str, int]) -> bool:
        """Whether every file exists with its size; `sizes` is by path, like the manifest's."""
        return all(sizes.get(file.path) == file.size for file in self.files)

    def to_json(self) -> str:
        """Canonical: sorted and without spaces, so that its digest is reproducible."""
        files = tuple(sorted(self.files, key=lambda file: file.path))
        document = {"version": MANIFEST_VERSION, **document_of(replace(self, files=files))}
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "ArtifactManifest":
        """
        Raises:
            InvalidDocument: not a manifest, or one of another version.
        """
        document = parse_object(text, "manifest")
        if (version := version_of(document)) != MANIFEST_VERSION:
            raise InvalidDocument(f"manifest has version {version}, expected {MANIFEST_VERSION}")
        manifest = read_object(cls, document)
        for path in (file.path for file in manifest.files):
            if not is_below(path):
                raise InvalidDocument(
                    f"a file of the manifest is {path!r:.60}, expected one below it"
                )
        return manifest


def merged(manifests: Iterable[ArtifactManifest]) -> tuple[File, ...]:
    """The files of several manifests in one, each path once."""
    files = {file.path: file for manifest in manifests for file in manifest.files}
    return tuple(files.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """`latest.json`: the newest complete run of an output location."""

    run_id: str
    """The name of its directory."""
    manifest: str = ""
    digest: str = ""

    @classmethod
    def from_json(cls, text: str | bytes, path: str) -> "Pointer":
        """
        Raises:
            InvalidDocument: not a pointer, or one to another location.
        """
        pointer = read(cls, text, path)
        if not is_below(pointer.run_id) or len(_SEPARATORS.split(pointer.run_id)) > 1:
            raise InvalidDocument(
                f"runId is {pointer.run_id!r:.60}, expected the name of a directory"
            )
        return pointer


def is_below(path: str) -> bool:
    """Whether a path names a place below its directory, for any reader of it.

    A user who can write to the store must not write elsewhere through it. An empty part is as bad
    as `..`: without the parts before it, `a//b` begins at the root.
    """
    parts = _SEPARATORS.split(path)
    return not any(part in ("", ".", "..") for part in parts) and not _ELSEWHERE.search(path)
