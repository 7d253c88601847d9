# SPDX-License-Identifier: Apache-2.0
"""Concurrent transfers of many files between work directory and store, with one retry each."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from finetune_contract.reasons import Reason
from finetune_trainer.failures.errors import AttemptFailed, attempt_failed
from finetune_trainer.failures.stopping import POLL_SECONDS, StopRequest
from finetune_trainer.storage.manifest import File
from finetune_trainer.storage.store import Store, StoreNotReady

log = logging.getLogger(__name__)

FILES_AT_ONCE = 8
TRIES = 3
GIVE_UP_SECONDS = 300
"""obstore retries by itself; only fast failures (a broken stream) are retried here."""

Result = TypeVar("Result")
Item = TypeVar("Item")


def upload(
    store: Store, folder: Path, prefix: str, stop: StopRequest | None = None
) -> tuple[File, ...]:
    """Uploads a complete directory below the prefix; the returned paths are the store's."""
    sources = [path for path in sorted(folder.rglob("*")) if path.is_file()]

    def upload_one(source: Path) -> File:
        relative = source.relative_to(folder).as_posix()
        path = f"{prefix}/{relative}" if prefix else relative
        file = describe(source, path)
        retrying(lambda: store.upload(source, path), path, stop)
        return file

    return tuple(_at_once(upload_one, sources, stop))


def download(
    store: Store, targets: Mapping[str, Path], stop: StopRequest | None = None
) -> Mapping[str, str]:
    """Downloads each path to its target; returns the sha256 of each, by path."""

    def download_one(path: str) -> tuple[str, str]:
        return path, retrying(lambda: store.download(path, targets[path]), path, stop)

    return dict(_at_once(download_one, sorted(targets), stop))


def require_intact(store: Store, digests: Mapping[str, str], found: Mapping[str, str]) -> None:
    """
    Raises:
        AttemptFailed: the downloaded files do not match the digests of the manifest; all are by
          path.
    """
    if damaged := [path for path, digest in digests.items() if found[path] != digest]:
        raise attempt_failed(
            Reason.ARTIFACT_DAMAGED,
            f"{store.uri}/{damaged[0]} does not match the manifest",
            "delete the run's manifest.json there to train it again",
        )


def ask(action: Callable[[], Result], what: str, stop: StopRequest | None = None) -> Result:
    """One request with one retry, in a thread: Python handles no signal while obstore waits.

    Raises:
        AttemptFailed: the error persisted.
        Interrupted: a stop was requested; the response is abandoned.
        FileNotFoundError: there is no such file.
    """
    return _at_once(lambda _: retrying(action, what, stop), [None], stop)[0]


def describe(source: Path, path: str) -> File:
    """Size and sha256 of a local file, under its path in a manifest."""
    with source.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return File(path=path, size=source.stat().st_size, sha256=digest)


def retrying(action: Callable[[], Result], what: str, stop: StopRequest | None = None) -> Result:
    """Retries temporary errors.

    Raises:
        AttemptFailed: the error persisted.
        FileNotFoundError: there is no such file.
    """
    began = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return action()
        except ConnectionError as error:
            log.warning("store error path=%s try=%d error=%s", what, attempt, error)
            if attempt == TRIES or time.monotonic() - began > GIVE_UP_SECONDS:
                raise _gave_up(attempt, error) from None
        pause = 2.0**attempt
        if stop is None:
            time.sleep(pause)
        else:
            stop.wait(pause)
            stop.check()
    raise AssertionError("unreachable: the last try returns or raises")


def _gave_up(tries: int, error: ConnectionError) -> AttemptFailed:
    message = f"the object store failed {tries} times: {error}"
    if isinstance(error, StoreNotReady):
        return AttemptFailed(replace(error.failure, message=message))
    return attempt_failed(
        Reason.STORE_UNREACHABLE, message, "check that the store is up and not full"
    )


def _at_once(
    action: Callable[[Item], Result], items: Iterable[Item], stop: StopRequest | None
) -> list[Result]:
    """The results in order; the first error, or a stop, ends the rest."""
    executor = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="transfer")
    try:
        futures = [executor.submit(action, item) for item in items]
        pending = set(futures)
        while pending:
            # Not after the last: finished work is kept.
            if stop is not None:
                stop.check()
            done, pending = wait(pending, timeout=POLL_SECONDS)
            for future in done:
                future.result()
        return [future.result() for future in futures]
    finally:
        # A running transfer is abandoned: the process ends without it.
        executor.shutdown(wait=False, cancel_futures=True)
