# SPDX-License-Identifier: Apache-2.0
"""What this node has, found without importing torch."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What this node has for its ranks."""

    gpus: int
    cpus: int
    """What may be used, not what the machine has: threads beyond a quota only get in the way."""

    @property
    def has_cuda(self) -> bool:
        return self.gpus > 0


def find_hardware(environment: Mapping[str, str]) -> Hardware:
    """What this process may use."""
    return Hardware(gpus=_find_gpus(environment), cpus=_find_cpus())


def _find_gpus(environment: Mapping[str, str]) -> int:
    if (visible := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name for name in visible.split(",") if name.strip()]
        return 0 if visible.strip() == "-1" else len(names)
    return sum(path.name[len("nvidia") :].isdecimal() for path in Path("/dev").glob("nvidia*"))


def _find_cpus() -> int:
    allowed = len(os.sched_getaffinity(0))
    quota = _read_quota()
    return max(1, allowed if quota is None else min(allowed, round(quota)))


def _read_quota() -> float | None:
    """The container's CPU quota, in CPUs; None without one (cgroup v2, then v1)."""
    for quota_file, period_file in (
        ("cpu.max", None),
        ("cpu/cpu.cfs_quota_us", "cpu.cfs_period_us"),
    ):
        path = _CGROUP / quota_file
        try:
            words = path.read_text().split()
            if period_file is not None:
                words += path.with_name(period_file).read_text().split()
        except OSError:
            continue
        if words[0] in ("max", "-1"):
            return None
        return int(words[0]) / int(words[1])
    return None
