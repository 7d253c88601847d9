# SPDX-License-Identifier: Apache-2.0
"""Directories and JSON documents in an object store, for tests and the demo."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from obstore.store import S3Store

from testbed.object_store import REGION, ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """One bucket of a store; paths within it have no leading slash."""

    name: str
    _store: S3Store

    @classmethod
    def of(cls, store: ObjectStore, name: str) -> "Bucket":
        return cls(
            name=name,
            _store=S3Store(
                name,
                endpoint=store.endpoint,
                access_key_id=store.access_key,
                secret_access_key=store.secret_key,
                region=REGION,
                client_options={"allow_http": True},
            ),
        )

    def list(self, prefix: str) -> list[str]:
        """The paths below this prefix, sorted."""
        listed = (item for page in self._store.list(prefix) for item in page)
        return sorted(item["path"] for item in listed)

    def read(self, path: str) -> bytes:
        """
        Raises:
            FileNotFoundError: it does not exist.
        """
        return bytes(self._store.get(path).bytes())

    def read_json(self, path: str) -> Mapping[str, Any]:
        document: Mapping[str, Any] = json.loads(self.read(path))
        return document

    def upload(self, folder: Path, prefix: str) -> None:
        """Uploads every file of this directory below the prefix."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self._store.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file)

    def download(self, prefix: str, folder: Path) -> Path:
        """Downloads everything below the prefix into this directory, and returns it."""
        for path in self.list(prefix):
            target = folder / path.removeprefix(prefix).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(path))
        return folder
