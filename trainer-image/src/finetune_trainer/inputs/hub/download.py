# SPDX-License-Identifier: Apache-2.0
"""Downloads files of a repository into the hub's cache, and resumes after an earlier try.

The hub's own client restarts each unfinished file, and gives up after few errors. Here a partial
file is kept next to the cache's files, under a name that a later process finds, until it is
complete and has the digest from the hub; and a download that makes progress is never abandoned.
"""

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    try_to_load_from_cache,
)
from huggingface_hub.file_download import HfFileMetadata, http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from finetune_contract.reasons import Reason
from finetune_trainer.failures.classification import classify
from finetune_trainer.failures.errors import Stage, attempt_failed
from finetune_trainer.inputs.hub.untrusted import checked

log = logging.getLogger(__name__)

FILES_AT_ONCE = 8
TRIES = 5
"""Tries in a row that received no byte."""

PAUSE_SECONDS = 2.0
_MODE = 0o664

Result = TypeVar("Result")


@dataclass(slots=True)
class Download:
    """The progress of the download, over all files known so far."""

    total: int = 0
    whole: int = 0
    """Bytes of the complete files."""
    under_way: dict[str, Path] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return self.whole + sum(map(_size, list(self.under_way.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit of a repository."""

    repository: str
    commit: str
    download: Download

    @property
    def folder(self) -> Path:
        """The directory of its files in the cache."""
        return _repository_folder(self.repository) / "snapshots" / self.commit

    def fetch(self, names: Iterable[str]) -> None:
        """Downloads these files into the cache."""
        missing = [name for name in names if not self._is_there(name)]
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="hub") as executor:
            wanted = list(zip(missing, executor.map(self._ask, missing), strict=True))
            self.download.total += sum(metadata.size or 0 for _, metadata in wanted)
            # The largest first: otherwise it would be downloaded alone at the end.
            wanted.sort(key=lambda it: -(it[1].size or 0))
            for _ in executor.map(lambda it: self._fetch_one(*it), wanted):
                pass

    def _is_there(self, name: str) -> bool:
        return isinstance(try_to_load_from_cache(self.repository, name, revision=self.commit), str)

    def _ask(self, name: str) -> HfFileMetadata:
        url = self._url(name)
        return checked(retrying(lambda: get_hf_file_metadata(url, retry_on_errors=True)))

    def _fetch_one(self, name: str, metadata: HfFileMetadata) -> None:
        if metadata.etag is not None and metadata.size is not None:
            self._fetch_blob(name, metadata.etag, metadata.size)
        # Now the client only has to create its links. If a mirror gives too little information, it
        # downloads the file itself.
        retrying(lambda: hf_hub_download(self.repository, name, revision=self.commit))
        self.download.whole += metadata.size or 0
        self.download.under_way.pop(name, None)

    def _fetch_blob(self, name: str, etag: str, size: int) -> None:
        blob = _repository_folder(self.repository) / "blobs" / etag
        part = blob.with_name(f"{etag}.incomplete")
        lock = Path(constants.HF_HUB_CACHE, ".locks", blob.parent.parent.name, f"{etag}.lock")
        for folder in (blob.parent, lock.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self.download.under_way[name] = part
        # Other processes of this node, or of a shared cache, wait for the file.
        with WeakFileLock(lock):
            if blob.exists():
                return
            retrying(lambda: self._get(name, part, etag, size), lambda: _size(part))
            part.chmod(_MODE)
            part.replace(blob)

    def _get(self, name: str, part: Path, etag: str, size: int) -> None:
        begun = _size(part)
        if begun > size:
            part.unlink()
            begun = 0
        if begun:
            log.info("resuming %s at %d of %d bytes", name, begun, size)
        with part.open("ab") as file:
            http_get(
                self._url(name),
                file,
                resume_size=begun,
                headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                expected_size=size,
                displayed_filename=name,
            )
        if not _has_digest(part, etag):
            part.unlink()
            raise attempt_failed(
                Reason.HUB_UNREACHABLE,
                f"{name} of {self.repository} was damaged in transit: its digest differs from "
                "the one that the hub reports",
                "no action: the next attempt downloads it again",
            )

    def _url(self, name: str) -> str:
        return hf_hub_url(self.repository, name, revision=self.commit)


def _repository_folder(repository: str) -> Path:
    name = repo_folder_name(repo_id=repository, repo_type="model")
    return Path(constants.HF_HUB_CACHE).expanduser() / name


def retrying(action: Callable[[], Result], arrived: Callable[[], int] = lambda: 0) -> Result:
    """Retries temporary errors, as long as each try receives more than the one before."""
    failures, most = 0, arrived()
    while True:
        try:
            return action()
        except Exception as error:
            if classify(error, Stage.FETCHING).reason != Reason.HUB_UNREACHABLE:
                raise
            failures = 1 if arrived() > most else failures + 1
            most = max(most, arrived())
            if failures >= TRIES:
                raise
            log.warning("hub error try=%d error=%s", failures, " ".join(str(error).split())[:200])
            time.sleep(PAUSE_SECONDS * failures)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _has_digest(file: Path, etag: str) -> bool:
    """Whether the file matches the hub's identifier: the sha256 of a file in LFS, git's own digest
    of another one. A mirror may use other identifiers, which cannot be checked.
    """
    with file.open("rb") as opened:
        match len(etag):
            case 64:
                return hashlib.file_digest(opened, "sha256").hexdigest() == etag
            case 40:
                digest = hashlib.sha1(b"blob %d\0" % os.fstat(opened.fileno()).st_size)  # noqa: S324 - git's
                while chunk := opened.read(1024 * 1024):
                    digest.update(chunk)
                return digest.hexdigest() == etag
    return True
