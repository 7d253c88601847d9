# SPDX-License-Identifier: Apache-2.0
"""A subtree of its own for each cluster: two kubelets in one would kill each other's pods."""

import os
import time
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")

_FIRST = {"cpu.shares": "8192", "cpu.weight": "800"}
"""What gives a group the CPU before its neighbours, in cgroup v1 and v2: 8 usual shares.

A cluster mostly waits, but beside a busy machine it would get as little as one process of many, and
what its pods do in seconds would take minutes. `nice` does not help where the kernel gives every
session a share of its own (autogroup). No more than that: the replicas on a control plane without
nodes, which is tested beside a cluster, are in no such group, and would starve."""


def create(name: str) -> None:
    """Make the subtree in every hierarchy (cgroup v1 has one per controller, v2 only one)."""
    for hierarchy in _hierarchies():
        (hierarchy / name).mkdir(exist_ok=True)
        for file, share in _FIRST.items():
            if (path := hierarchy / name / file).exists():
                path.write_text(share)


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
