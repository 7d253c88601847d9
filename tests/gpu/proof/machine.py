# SPDX-License-Identifier: Apache-2.0
"""Describes the machine, without which figures have little value."""

import os
import platform
import subprocess
from importlib import metadata

from gpu.proof.rows import Rows

PACKAGES = ("torch", "triton", "transformers", "trl", "peft", "accelerate", "bitsandbytes")
_QUERY = "name,driver_version,memory.total,ecc.errors.uncorrected.volatile.total"


def describe(rows: Rows) -> None:
    """Versions, the GPU according to its driver, and other facts that a trainer's pod would get."""
    import torch

    has_gpu = torch.cuda.is_available()
    rows.add(
        "machine",
        python=platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        cuda=torch.version.cuda,
        capability=torch.cuda.get_device_capability() if has_gpu else None,
        nccl=".".join(map(str, torch.cuda.nccl.version())) if has_gpu else None,
        driver=_output("nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader"),
        compiler=_output("cc", "--version").partition("\n")[0],
        shared_memory=_output("df", "-h", "/dev/shm").rpartition("\n")[2],
        cpus=len(os.sched_getaffinity(0)),
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stdout or done.stderr).strip()[:300]
