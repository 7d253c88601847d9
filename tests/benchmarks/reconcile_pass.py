# SPDX-License-Identifier: Apache-2.0
"""CPU time of one pass over a job, here and at earlier commits, in turns.

    python tests/benchmarks/reconcile_pass.py [COMMIT ...]

Needs Git. No cluster: the children are in memory, and nothing is written in the passes that are
measured. Prints the rows of docs/contributing/benchmarks.md.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.checkouts import checkouts, environment_of

TURNS = 4


def main(commits: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trees = checkouts(commits, Path(folder))
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
        for _ in range(TURNS):
            for name, tree in trees.items():
                seen[name].append(_measure(tree))
    print(f"CPU time of a pass, fastest of the batches, lowest to highest of {TURNS} turns")
    for name, turns in seen.items():
        for what in turns[0]:
            times = [turn[what] for turn in turns]
            print(f"| {name} | {what} | {min(times):.3f} to {max(times):.3f} ms |")


def _measure(tree: Path) -> dict[str, float]:
    script = Path(__file__).with_name("reconcile_pass_timer.py")
    run = [sys.executable, str(script)]
    printed = subprocess.run(
        run, env=environment_of(tree), check=True, capture_output=True, text=True
    ).stdout
    figures: dict[str, float] = json.loads(printed)
    return figures


if __name__ == "__main__":
    main(sys.argv[1:])
