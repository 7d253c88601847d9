# SPDX-License-Identifier: Apache-2.0
"""A subtree of its own for each cluster: two kubelets in one would kill each other's pods."""

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
    if not cgroup.is_dir():
        return
    for child in cgroup.iterdir():
        if child.is_dir():
            _remove_tree(child, deadline)
    while True:
        try:
            cgroup.rmdir()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
