# SPDX-License-Identifier: Apache-2.0
"""The release after this one, in a copy of the repository: `make version`, then `make release`."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from repository.tracked import ROOT, tracked_files
from testbed import helm

pytestmark = [pytest.mark.slow, pytest.mark.long]

VERSION = "0.2.0"
NAMES = ("registry.example.com/ml", "https://example.com/releases/v0.2.0")


def run(folder: Path, *words: str) -> str:
    """Runs a command in the copy, whose generators write the copy's files."""
    environment = os.environ | {"PYTHONPATH": str(folder / "tests")}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def commit(folder: Path) -> None:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    run(folder, "git", "add", "--all")
    run(folder, "git", *who, "commit", "--quiet", "--message", "It changes")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository after `make version`."""
    folder = tmp_path_factory.mktemp("copy")
    for file in tracked_files():
        place = folder / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, place)
    run(folder, "git", "init", "--quiet")
    commit(folder)
    run(folder, sys.executable, "-m", "repository.versions", VERSION)
    commit(folder)
    return folder


def test_every_part_of_the_repository_has_the_new_version(copy: Path) -> None:
    tests = ("tests/repository/test_versions.py", "-q", "-p", "no:randomly")
    run(copy, sys.executable, "-m", "pytest", *tests)
    run(copy, sys.executable, "-m", "repository.chart_files")

    # `make generate` has nothing to add.
    assert run(copy, "git", "status", "--porcelain") == ""


def test_the_release_has_the_new_version_and_its_bytes_are_reproducible(copy: Path) -> None:
    digests = []
    for _ in range(2):
        run(copy, sys.executable, "-m", "repository.release", VERSION, *NAMES)
        files = sorted((copy / "build" / "release").iterdir())
        digests.append({it.name: hashlib.sha256(it.read_bytes()).hexdigest() for it in files})

    assert digests[0] == digests[1]
    (chart,) = (it for it in files if it.name == f"finetune-operator-{VERSION}.tgz")
    about = yaml.safe_load(helm.run("show", "chart", chart))
    assert (about["version"], about["appVersion"]) == (VERSION, VERSION)
    assert f"finetune_cli-{VERSION}-py3-none-any.whl" in digests[0]
    assert f'"{NAMES[0]}/finetune-trainer:{VERSION}"' in helm.run("template", "it", chart)
