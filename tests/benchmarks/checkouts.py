# SPDX-License-Identifier: Apache-2.0
"""The working tree and earlier commits, for benchmarks that compare them in turns."""

import io
import os
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
HERE = "working tree"
PROJECTS = ("operator", "contract", "job-spec", "spec")
"""The projects of an operator, under their current and former names."""


def checkouts(commits: Sequence[str], folder: Path) -> dict[str, Path]:
    """The working tree in place, and each commit in a separate directory."""
    trees = {HERE: REPOSITORY}
    for commit in commits:
        archive = ["git", "-C", str(REPOSITORY), "archive", commit]
        packed = subprocess.run(archive, check=True, capture_output=True).stdout
        trees[commit] = folder / commit
        with tarfile.open(fileobj=io.BytesIO(packed)) as files:
            files.extractall(trees[commit], filter="data")
    return trees


def environment_of(tree: Path) -> Mapping[str, str]:
    """In which an interpreter finds the operator of this tree."""
    sources = [str(tree / project / "src") for project in PROJECTS]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
