# SPDX-License-Identifier: Apache-2.0
"""The kernels that bitsandbytes ships as machine code, and their GPUs."""

import re
import subprocess
from pathlib import Path

import triton

_CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
_ENTRY = re.compile(r"_Z(\d+)(\w+)\.sm_(\d+)\.elf")


def list_kernels(library: Path) -> dict[str, list[str]]:
    """`architecture` -> names of the library's kernels whose machine code is for it."""
    listed = subprocess.run(
        [_CUOBJDUMP, "--list-text", library], check=True, capture_output=True, text=True
    )
    kernels: dict[str, set[str]] = {}
    for length, mangled, architecture in _ENTRY.findall(listed.stdout):
        kernels.setdefault(architecture, set()).add(mangled[: int(length)])
    return {architecture: sorted(names) for architecture, names in kernels.items()}
