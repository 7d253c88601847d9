# SPDX-License-Identifier: Apache-2.0
"""A separate subtree for each cluster: two kubelets in one would kill each other's pods."""

import os
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")

_FIRST = {"cpu.shares": "8192", "cpu.weight": "800"}
"""Gives a group a larger share of the CPU than its neighbours, in cgroup v1 and v2: 8 usual shares.

A cluster mostly waits, but on a busy machine it would get as little as one process of many, and its
pods would take minutes instead of seconds. `nice` does not help if the kernel gives every session
its own share (autogroup). The share is not larger because the replicas on a control plane without
nodes, which is tested next to a cluster, are in no such group, and would starve.
"""


def create(name: str) -> None:
    """Creates the subtree in every hierarchy (cgroup v1 has one per controller, v2 only one)."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        for file, share in _FIRST.items():
            if (path := hierarchy / name / file).exists():
                path.write_text(share)


def remove(name: str) -> None:
    """Removes the subtree; its processes were killed, but may take a moment to end."""
    for hierarchy in _hierarchies():
        _remove_tree(hierarchy / name, deadline=time.monotonic() + 10)


def _hierarchies() -> list[Path]:
    if (_MOUNT / "cgroup.controllers").exists():
        return [_MOUNT]
    return [entry for entry in _MOUNT.iterdir() if entry.is_dir() and not entry.is_symlink()]


def _remove_tree(cgroup: Path, deadline: float) -> None:
    # The files in it belong to the kernel and are removed with it.
    for folder, _, _ in os.walk(cgroup, topdown=False):
        while Path(folder).exists():
            try:
                Path(folder).rmdir()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
