# SPDX-License-Identifier: Apache-2.0
"""`pip install` of the command line finds everything as wheels on each kind of laptop."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from repository.tracked import ROOT

LINUX = "x86_64-unknown-linux-gnu"
MAC = "aarch64-apple-darwin"
WINDOWS = "x86_64-pc-windows-msvc"

# The version for which torch has wheels.
NEWEST_MAC = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}


def resolved(platform: str, *extras: str, lowest: bool = False) -> dict[str, str]:
    """The packages, with versions, for a laptop of this kind: the newest, or the oldest of the
    declared ranges.
    """
    uv = Path(sys.executable).with_name("uv")
    chosen = [word for extra in extras for word in ("--extra", extra)]
    options = ["--quiet", "--no-header", "--no-annotate", "--python-version", "3.11"]
    command = [str(uv), "pip", "compile", *options, "--only-binary", ":all:", *chosen]
    command += ["--resolution", "lowest-direct"] if lowest else []
    done = subprocess.run(
        [*command, "--python-platform", platform, "command-line/pyproject.toml"],
        cwd=ROOT,
        env={**os.environ, **NEWEST_MAC},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(re.findall(r"^([\w.-]+)==(\S+)", done.stdout, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("platform", [LINUX, MAC, WINDOWS])
def test_the_command_line_has_few_dependencies_on_every_platform(platform: str) -> None:
    packages = resolved(platform)

    assert {"tqdm", "plotext", "obstore"} <= packages.keys()
    assert not packages.keys() & {"torch", "trl", "transformers"}


@pytest.mark.slow
@pytest.mark.parametrize("platform", [LINUX, MAC])
@pytest.mark.parametrize("extras", [("train",), ("train", "trackers")], ids="+".join)
def test_the_training_packages_resolve_on_linux_and_macos(
    platform: str, extras: tuple[str, ...]
) -> None:
    packages = resolved(platform, *extras)

    assert {"torch", "trl", "peft", "datasets"} <= packages.keys()
    assert ("liger-kernel" in packages) == (platform == LINUX)
    assert ("wandb" in packages) == ("trackers" in extras)
    assert "deepspeed" not in packages


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("platform", [LINUX, MAC])
def test_the_oldest_versions_of_the_ranges_fit_each_other(platform: str) -> None:
    packages = resolved(platform, "train", "trackers", lowest=True)

    assert packages["torch"] == "2.10.0"
