# SPDX-License-Identifier: Apache-2.0
"""The images can be built for arm64 nodes: their locks resolve there, with hashes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from repository.locks import pinned
from repository.tracked import ROOT

# They ask the package index.
pytestmark = [pytest.mark.slow, pytest.mark.long]

ARM64 = ("--python-platform", "aarch64-manylinux_2_36", "--python-version", "3.11")
"""The images' base on an arm64 node: Debian 12."""
LOCKS = ("bootstrap", "operator", "results-page", "trainer", "trainer-cuda12")
NO_WHEELS = ("deepspeed",)
"""Distributed as source only, and compiles nothing during its installation."""


def uv(*words: str | Path) -> str:
    """What it writes to both streams."""
    program = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [program, "pip", *words], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def lock_of(name: str) -> Path:
    return ROOT / "requirements" / f"{name}.txt"


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_installs_on_arm64_without_a_compiler(name: str, tmp_path: Path) -> None:
    wheels = ["--only-binary", ":all:"]
    wheels += [word for package in NO_WHEELS for word in ("--no-binary", package)]
    target = ("--dry-run", "--python", sys.executable, "--target", str(tmp_path))

    found = uv("install", *target, "--require-hashes", *wheels, *ARM64, "-r", str(lock_of(name)))

    installed = dict(re.findall(r"^ \+ ([\w.-]+)==(\S+)", found, re.MULTILINE))
    assert installed == pinned(lock_of(name))


@pytest.mark.parametrize(("name", "has_cuda"), [("trainer", True), ("trainer-cuda12", False)])
def test_only_the_default_trainer_image_uses_gpus_of_arm64_nodes(
    name: str, has_cuda: bool, tmp_path: Path
) -> None:
    """As docs/platform/install.md states: PyPI has no torch for CUDA 12 on arm64."""
    wanted = tmp_path / "torch.in"
    wanted.write_text(f"torch=={pinned(lock_of(name))['torch']}\n")

    found = uv("compile", "--quiet", "--no-annotate", *ARM64, wanted)

    assert any(line.startswith("nvidia-cudnn") for line in found.splitlines()) == has_cuda


def test_every_lock_of_an_image_is_tested() -> None:
    files = [ROOT / "Dockerfile", *ROOT.glob("*/Dockerfile")]
    named = {
        name
        for file in files
        for name in re.findall(r"requirements/([\w-]+)\.txt", file.read_text())
    }

    assert {*named, "trainer-cuda12"} == set(LOCKS)
