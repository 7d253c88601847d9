# SPDX-License-Identifier: Apache-2.0
"""A directory as a store (`file://`): every file is synced, then renamed to its final name."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import uuid4

_DRAFT = ".draft-"
CHUNK_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FolderStore:
    """Files below one directory of this machine."""

    root: Path

    @property
    def uri(self) -> str:
        return f"file://{self.root}"

    def sizes(self, prefix: str = "") -> Mapping[str, int]:
        folder = self.root / prefix
        return {
            path.relative_to(self.root).as_posix(): path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(_DRAFT)
        }

    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []

    def size(self, path: str) -> int:
        file = self.root / path
        if not file.is_file():
            raise FileNotFoundError(file)
        return file.stat().st_size

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with (self.root / path).open("rb") as file:
            file.seek(start)
            return file.read(length)

    def write(self, path: str, body: bytes) -> None:
        with self._replacing(self.root / path) as draft:
            draft.write(body)

    def create(self, path: str, body: bytes) -> None:
        # Others may try at the same moment, even with the same process number in another pod.
        with self._placing(self.root / path, uuid4(), _link_or_leave) as draft:
            draft.write(body)

    def upload(self, source: Path, path: str) -> None:
        with source.open("rb") as original, self._replacing(self.root / path) as draft:
            shutil.copyfileobj(original, draft, CHUNK_BYTES)

    def download(self, path: str, target: Path) -> str:
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with (self.root / path).open("rb") as original, target.open("wb") as copy:
            while chunk := original.read(CHUNK_BYTES):
                digest.update(chunk)
                copy.write(chunk)
        return digest.hexdigest()

    def delete(self, paths: list[str]) -> None:
        for path in paths:
            (self.root / path).unlink(missing_ok=True)
            self._remove_empty_parents((self.root / path).parent)

    def _remove_empty_parents(self, folder: Path) -> None:
        # Object stores have no empty directories, so this one leaves none either.
        while folder != self.root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    @contextmanager
    def _replacing(self, target: Path) -> Iterator[IO[bytes]]:
        with self._placing(target, os.getpid(), Path.replace) as draft:
            yield draft

    @contextmanager
    def _placing(
        self, target: Path, writer: object, place: Callable[[Path, Path], object]
    ) -> Iterator[IO[bytes]]:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f"{_DRAFT}{writer}-{target.name}")
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            place(draft, target)
        finally:
            draft.unlink(missing_ok=True)
        _sync_folder(target.parent)


def _link_or_leave(draft: Path, target: Path) -> None:
    """Creates a link, which appears completely, and only if the target does not exist."""
    try:
        target.hardlink_to(draft)
    except FileExistsError:
        return
    except OSError:
        # A file system without links, such as FAT.
        if not target.exists():
            draft.replace(target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
