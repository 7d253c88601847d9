# SPDX-License-Identifier: Apache-2.0
"""Prepares Triton's driver on a machine without a GPU, with a fake libcuda.

The fake has all linked names; each of its functions returns CUDA_ERROR_NO_DEVICE. So the driver is
compiled, linked and loaded as on a node with GPUs, but can run nothing.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

_NAME = "libcuda.so.1"
_NO_DEVICE = 100
_READY = "from triton.backends.nvidia.driver import CudaUtils; print(CudaUtils().load_binary)"


def make_libcuda(folder: Path, users: Iterable[Path]) -> None:
    """Writes a fake driver library with the functions that these C files and libraries use."""
    names = sorted({name for user in users for name in _asked_for(user)})
    functions = "".join(f"int {name}(void) {{ return {_NO_DEVICE}; }}\n" for name in names)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / "libcuda.c"
        source.write_text(functions)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{_NAME}", "-o", folder / _NAME, source],
            check=True,
        )


def _asked_for(user: Path) -> list[str]:
    if user.suffix == ".c":
        return re.findall(r"\b(cu[A-Z]\w+)\s*\(", user.read_text())
    listed = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", user], check=True, capture_output=True, text=True
    )
    return re.findall(r" U (cu[A-Z]\w+)", listed.stdout)


def source_of_triton() -> Path:
    """The C file that Triton compiles when its first kernel runs."""
    from triton.backends.nvidia import driver

    return Path(driver.__file__).with_name("driver.c")


def start_driver(**environment: str) -> str:
    """The result of Triton's driver in a separate process: `ready`, or the last line of its
    error.
    """
    done = subprocess.run(
        [sys.executable, "-c", _READY],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    return "ready" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
