# SPDX-License-Identifier: Apache-2.0
"""The hardware of this node, found without importing torch."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU, as its driver describes it."""

    name: str
    capability: tuple[int, int]
    """(9, 0) is sm_90."""
    memory_bytes: int

    @property
    def architecture(self) -> str:
        return "sm_{}{}".format(*self.capability)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """The NVIDIA driver of this node."""

    cuda: int
    """The newest CUDA that it supports, in the format of `cuDriverGetVersion`: 13000 for 13.0."""
    version: str = ""
    """Its own version, such as 580.65.06; empty if unknown."""

    @property
    def cuda_text(self) -> str:
        return f"{self.cuda // 1000}.{self.cuda % 1000 // 10}"

    def __str__(self) -> str:
        return f"driver {self.version} (CUDA {self.cuda_text})".replace("  ", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """The result of the GPU probe."""

    devices: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    """None if the container has no NVIDIA driver."""
    trouble: str = ""
    """The driver's error if it reports no GPU; empty without an error."""

    def __str__(self) -> str:
        """For people: `2 x NVIDIA L4, driver 580.65.06 (CUDA 13.0)`."""
        counts = Counter(device.name for device in self.devices)
        names = [f"{count} x {name}" if count > 1 else name for name, count in counts.items()]
        return ", ".join([*names, *([str(self.driver)] if self.driver is not None else [])])


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The hardware of this node for its ranks."""

    gpus: int
    cpus: int
    """The usable CPUs, not those of the machine: threads beyond a quota only cost time."""
    found: Gpus = field(default_factory=Gpus)
    """Details of the GPUs in addition to their number."""

    @property
    def has_cuda(self) -> bool:
        return self.gpus > 0


def hardware_of(found: Gpus) -> Hardware:
    """This node, with the GPUs that were found."""
    return Hardware(gpus=len(found.devices), cpus=_find_cpus(), found=found)


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
