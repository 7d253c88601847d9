# SPDX-License-Identifier: Apache-2.0
"""How long users' commands take from start to end.

    python tests/benchmarks/command_start.py [ROUNDS]

Prints the rows of docs/contributing/benchmarks.md: medians of CPU and wall time, the commands
taking turns.
"""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 21
JOB = str(Path(__file__).parents[2] / "configs" / "examples" / "first-job.yaml")
FINETUNE = "from finetune_cli.local.command_line import console; console()"
PLUGIN = "from finetune_cli.cluster.command_line import main; main()"

COMMANDS = {
    "kubectl finetune --help": (PLUGIN, "--help"),
    "kubectl finetune --version": (PLUGIN, "--version"),
    "finetune --help": (FINETUNE, "--help"),
    "finetune validate": (FINETUNE, "validate", JOB),
    "finetune plan": (FINETUNE, "plan", JOB),
}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            seconds = _once(*command)
            # The first round compiles bytecode.
            if number:
                measured[name].append(seconds)
    for name, seconds_of in measured.items():
        cpu, wall = (statistics.median(times) * 1000 for times in zip(*seconds_of, strict=True))
        print(f"| `{name}` | {cpu:.0f} ms CPU, {wall:.0f} ms |")


def _once(program: str, *words: str) -> tuple[float, float]:
    before, started = _cpu_of_children(), time.perf_counter()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, "-c", program, *words], env=environment, stdout=subprocess.PIPE, check=True
    )
    return _cpu_of_children() - before, time.perf_counter() - started


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
