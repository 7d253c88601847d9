# SPDX-License-Identifier: Apache-2.0
"""A subtree of its own for each cluster: two kubelets in one would kill each other's pods."""

import os
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


def create(name: str) -> None:
    """Make the subtree in every hierarchy (cgroup v1 has one per controller, v2 only one)."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)


def remove(name: str) -> None:
    """Remove the subtree; its processes have been killed, but may take a moment to be gone."""
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / name, deadline=time.monotonic() + 10)


def _hierarchies() -> list[Path]:
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return [entry for entry in _MOUNT.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _remove_tree(cgroup: Path, deadline: float) -> None:
    # The files in it belong to the kernel and go with it.
    for folder, _, _ in os.walk(cgroup, topdown=False):
        while Path(folder).exists():
            try:
                Path(folder).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
