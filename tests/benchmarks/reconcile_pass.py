# SPDX-License-Identifier: Apache-2.0
"""CPU time of one pass over a job, here and at earlier commits, in turns.

    python tests/benchmarks/reconcile_pass.py [COMMIT ...]

Needs Git. No cluster: the children are in memory, and nothing is written in the passes that are
measured. Prints the rows of docs/benchmarks.md.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TURNS = 4
HERE = "working tree"
ROOMS = ("operator", "contract", "job-spec", "spec")
"""The projects that an operator is made of, under the names that they have had."""


def main(commits: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trees = {HERE: REPOSITORY}
        for commit in commits:
            trees[commit] = Path(folder) / commit
            _extract(commit, trees[commit])
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for _ in range(TURNS):
            for name, tree in trees.items():
                seen[name].append(_measure(tree))
    print(f"CPU time of a pass, fastest of the batches, lowest to highest of {TURNS} turns")
    for name, turns in seen.items():
        for what in turns[0]:
            times = [turn[what] for turn in turns]
            print(f"| {name} | {what} | {min(times):.3f} to {max(times):.3f} ms |")


def _extract(commit: str, folder: Path) -> None:
    archive = ["git", "-C", str(REPOSITORY), "archive", commit]
    packed = subprocess.run(archive, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")


def _measure(tree: Path) -> dict[str, float]:
    sources = [str(tree / room / "src") for room in ROOMS]
    path: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(sources)}
    script = Path(__file__).with_name("reconcile_pass_timer.py")
    run = [sys.executable, str(script)]
    printed = subprocess.run(run, env=path, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(printed)
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
