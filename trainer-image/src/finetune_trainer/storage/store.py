# SPDX-License-Identifier: Apache-2.0
"""The protocol of stores, and their only constructor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from finetune_contract.outcome import Failure
from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import attempt_failed
from finetune_trainer.storage import locations


class StoreNotReady(ConnectionError):
    """The store is temporarily unavailable: the same request may succeed later."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure
        """The final failure, if the problem persists."""


class Store(Protocol):
    """Files below one URI. Paths are relative to it, with `/`.

    A missing file is a `FileNotFoundError`; a permanent error is an `AttemptFailed`; any other
    error may be temporary.
    """

    @property
    def uri(self) -> str: ...

    def sizes(self, prefix: str = "") -> Mapping[str, int]:
        """The size of every file below the prefix (a complete directory name), by path."""
        ...

    def names(self) -> list[str]:
        """The names directly here, directories and files: for messages."""
        ...

    def size(self, path: str) -> int:
        """The size of one file; path "" is the URI itself as a file."""
        ...

    def read(self, path: str) -> bytes: ...

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """A part of a file; shorter if the file ends before."""
        ...

    def write(self, path: str, body: bytes) -> None:
        """Writes the complete file or nothing."""
        ...

    def create(self, path: str, body: bytes) -> None:
        """Writes a complete file if it does not exist; of several concurrent callers one succeeds.

        An existing file is not changed. To find out which one was written, read it.
        """
        ...

    def upload(self, source: Path, path: str) -> None:
        """Writes the complete file or nothing."""
        ...

    def download(self, path: str, target: Path) -> str:
        """Writes the file to `target` and returns its sha256."""
        ...

    def delete(self, paths: list[str]) -> None: ...


def open_store(uri: str, environment: Mapping[str, str]) -> Store:
    """The store at this URI; no request is sent yet.

    Raises:
        AttemptFailed: no such scheme, or no credentials for it.
    """
    # Both are imported late: a run that uses only directories needs no object store's library.
    if locations.is_in_store(uri):
        from finetune_trainer.storage.cloud import open_cloud_store

        return open_cloud_store(uri, environment)
    if (path := locations.path_of(uri)) is not None:
        from finetune_trainer.storage.folder import FolderStore

        return FolderStore(path.absolute())
    schemes = ", ".join(f"{name}://" for name in (*locations.STORE_SCHEMES, locations.FILE_SCHEME))
    raise attempt_failed(
        Reason.INVALID_URI, f"{uri} is not a writable location", f"use one of {schemes}"
    )


def read_if_there(store: Store, path: str) -> bytes | None:
    try:
        return store.read(path)
    except FileNotFoundError:
        return None
