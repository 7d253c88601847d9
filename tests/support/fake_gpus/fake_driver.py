# SPDX-License-Identifier: Apache-2.0
"""Builds the fake of NVIDIA's driver that `libcuda.c` describes."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("libcuda.c")
LIBRARIES = ("libcuda.so.1", "libnvidia-ml.so.1")


def build_driver(folder: Path) -> Path:
    """The directory with the libraries."""
    for name in LIBRARIES:
        subprocess.run(build_command(SOURCE, folder / name), check=True)
    return folder


def build_command(source: Path, library: Path) -> list[str]:
    """The command that builds one of the libraries, here or in an image."""
    return ["gcc", "-shared", "-fPIC", "-fno-builtin", "-o", str(library), str(source)]


def variables(driver: Path, /, **settings: object) -> Mapping[str, str]:
    """An environment with this driver; its settings without `FAKE_`."""
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    chosen = {f"FAKE_{name.upper()}": str(value) for name, value in settings.items()}
    return {**kept, "LD_LIBRARY_PATH": str(driver), **chosen}
