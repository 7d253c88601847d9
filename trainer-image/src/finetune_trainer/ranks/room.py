# SPDX-License-Identifier: Apache-2.0
"""The free memory of this node after training: of GPUs and of the host."""

import contextlib
import ctypes
import gc
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from finetune_trainer.exchange.heartbeats import Heart
from finetune_trainer.exchange.rank_results import RankEnding, RankResult
from finetune_trainer.exchange.workspace import Workspace
from finetune_trainer.ranks.placement import Room

log = logging.getLogger(__name__)

OTHERS_SECONDS = 120.0
"""How long to wait for the node's other ranks. They have saved, and their trackers only send the
rest; a rank that takes longer keeps its GPU, and the base model is placed without it.
"""

SETTLED_SECONDS = 1.0
"""Free GPU memory that has not grown for this long is final: the driver takes a moment to clean up
after a process that has ended.
"""

_CGROUP = Path("/sys/fs/cgroup")
_MEMINFO = Path("/proc/meminfo")
_UNLIMITED = 1 << 60
"""cgroup v1 contains a number near 2^63 if there is no limit."""


def room_here(devices: Sequence[int]) -> Room:
    """The free memory of these GPUs and of the host."""
    release_unused()
    free = {device: torch.cuda.mem_get_info(device)[0] for device in devices}
    return Room(gpus=free, host_bytes=free_host_bytes())


def release_unused() -> None:
    """Releases memory that this process does not use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    # Otherwise freed small tensors stay with the process, and count as used.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def free_host_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """The memory that this container can still use; None if the system does not report it
    (macOS).
    """
    known = [free for free in (_in_cgroup(cgroup), _on_machine(meminfo)) if free is not None]
    return min(known, default=None)


def wait_for_others(workspace: Workspace, rank: int, heart: Heart) -> bool:
    """Waits until the node's other ranks have ended and their GPUs are free; returns whether all
    have.
    """
    end = time.monotonic() + OTHERS_SECONDS
    while others := _running(workspace, rank):
        if time.monotonic() >= end:
            log.warning("ranks still run, their GPUs are not used ranks=%s", others)
            return False
        heart.beat("waiting for the other ranks of this node to end")
        time.sleep(SETTLED_SECONDS / 4)
    if torch.cuda.is_available():
        _settle(_free_on_all, end)
    return True


def _running(workspace: Workspace, rank: int) -> list[int]:
    """The node's other ranks that have not ended: a rank removes its heartbeat at its end."""
    found = []
    for path in workspace.results.glob("rank-*.json"):
        other = RankResult.from_json(path.read_bytes())
        is_alive = other.ending is RankEnding.RUNNING or workspace.heartbeat(other.rank).exists()
        if other.rank != rank and is_alive and not _is_gone(workspace.heartbeat(other.rank)):
            found.append(other.rank)
    return sorted(found)


def _is_gone(heartbeat: Path) -> bool:
    """Whether the process that wrote this no longer exists."""
    try:
        os.kill(int(heartbeat.read_text().partition(" ")[0]), 0)
    except (FileNotFoundError, ValueError):
        return False
    except ProcessLookupError:
        return True
    return False


def _settle(free: Callable[[], int], end: float) -> None:
    """Waits until this no longer grows, or the end time is reached."""
    seen, since = free(), time.monotonic()
    while (now := time.monotonic()) < min(since + SETTLED_SECONDS, end):
        time.sleep(SETTLED_SECONDS / 4)
        if (found := free()) > seen:
            seen, since = found, now


def _free_on_all() -> int:
    return sum(torch.cuda.mem_get_info(device)[0] for device in range(torch.cuda.device_count()))


def _in_cgroup(root: Path) -> int | None:
    """The limit less the used memory; cached files count as free (cgroup v2, then v1)."""
    for limit, usage, statistics, cached in (
        ("memory.max", "memory.current", "memory.stat", ("inactive_file", "active_file")),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            ("total_inactive_file", "total_active_file"),
        ),
    ):
        try:
            most, used = (root / limit).read_text().strip(), int((root / usage).read_text())
            lines = (line.split() for line in (root / statistics).read_text().splitlines())
            counts = {name: int(value) for name, value in lines}
        except (OSError, ValueError):
            continue
        if most == "max" or int(most) >= _UNLIMITED:
            return None
        return int(most) - used + sum(counts.get(name, 0) for name in cached)
    return None


def _on_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
