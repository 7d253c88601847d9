# SPDX-License-Identifier: Apache-2.0
"""The shared libraries that NCCL, torch and bitsandbytes load by name, and which of them do not
load.

The names are read from the libraries' own files: a complete string there is a library that the file
is linked to, or one that its code may open.
"""

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import torch

_SITE = Path(torch.__file__).parents[1]
_NAME = re.compile(rb"(?<=\0)(lib[\w+-]+)\.so((?:\.\d+)*)(?=\0)")

DRIVERS = ("libcuda", "libnvidia-ml")
"""NVIDIA's driver provides them, and the container runtime mounts them into the pod."""

OPTIONAL = {
    "libnccl-net": "a network plugin of NCCL's, which clouds bring for their own network",
    "libnccl-gin": "a network plugin of NCCL's, for transfers that kernels start",
    "libgdrapi": "GDRCopy needs a kernel module on the node; NCCL works without it",
    "libmkl_": "MKL's own parts, which torch links statically",
    "libmemkind": "MKL looks for it on machines with high-bandwidth memory",
    "libittnotify": "Intel's profiler brings it",
    "libneuralnetworks": "Android's",
}
"""Prefixes of the names of libraries that no training needs, and why."""


def check_all() -> dict[str, list[str]]:
    """`loaded` and `missing`: each required library, by its name without a version."""
    found: dict[str, list[str]] = {"loaded": [], "missing": []}
    for name, versions in sorted(_needed().items()):
        loads = any(_loads(f"{name}.so{version}") for version in sorted(versions))
        found["loaded" if loads else "missing"].append(name)
    return found


def _needed() -> dict[str, set[str]]:
    """Names with the requested versions: one of them must exist."""
    names: dict[str, set[str]] = {}
    for file in files():
        for name, version in _names_in(file):
            if name not in DRIVERS and not name.startswith(tuple(OPTIONAL)):
                names.setdefault(name, set()).add(version)
    return names


def files() -> list[Path]:
    """The libraries of NCCL, torch, and bitsandbytes for the CUDA that torch has."""
    cuda = str(torch.version.cuda).replace(".", "")
    return [
        *sorted((_SITE / "torch" / "lib").glob("*.so*")),
        *sorted((_SITE / "nvidia" / "nccl" / "lib").glob("*.so*")),
        *(_SITE / "bitsandbytes" / f"libbitsandbytes_{it}.so" for it in ("cpu", f"cuda{cuda}")),
    ]


def _names_in(file: Path) -> Iterator[tuple[str, str]]:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as content:
        for match in _NAME.finditer(content):
            yield match[1].decode(), match[2].decode()


def _loads(name: str) -> bool:
    """By its name, or from the directories in the libraries of torch and bitsandbytes."""
    folders = [_SITE / "torch" / "lib", _SITE / "bitsandbytes", *_SITE.glob("nvidia/*/lib")]
    return any(map(_opens, [name, *(str(it / name) for it in folders if (it / name).exists())]))


def _opens(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True
