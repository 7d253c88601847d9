# SPDX-License-Identifier: Apache-2.0
"""Files kept between clusters: binaries, images, and the directories of the clusters themselves.

Everything expensive is built once, into a directory that is either complete or missing.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The root directory; FINETUNE_CACHE or XDG_CACHE_HOME move it."""
    chosen = os.environ.get("FINETUNE_CACHE")
    if chosen:
        return Path(chosen).resolve()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).resolve() / "finetune-operator"


def key(*parts: str | bytes) -> str:
    """A short name for the result of these parts: different for other parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process has this file's lock, then takes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Returns the target, built if it is missing; a crash during the build leaves no partial
    target.

    Of several concurrent processes, one builds and the others wait for it.
    """
    if target.exists():
        return target
    with locked(target.with_name(f"{target.name}.lock")):
        if target.exists():
            return target
        unfinished = target.with_name(f"{target.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        build(unfinished)
        unfinished.rename(target)
    return target
