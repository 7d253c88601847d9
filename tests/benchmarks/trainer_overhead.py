# SPDX-License-Identifier: Apache-2.0
"""The overhead of our trainer over a bare `trl sft` with the same flags, as ratios in one run.

    python tests/benchmarks/trainer_overhead.py [ROUNDS]

Both train SmolLM2 on this machine from local files, in parallel, each on a separate CPU, swapped in
the next round, so that other load of the machine affects both. The first process of our trainer
shares the CPU of its rank. Prints the rows of docs/contributing/benchmarks.md.
"""

import ast
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from finetune_contract.run import JobReference, Run, World
from testbed import base_model

ROOT = Path(__file__).parents[2]
STEPS = 24
POLL_SECONDS = 0.1
CONFIG: dict[str, Any] = {
    "model_name_or_path": str(base_model.folder()),
    "dataset_name": str(ROOT / "configs" / "datasets" / "windrose"),
    "use_peft": True,
    "lora_target_modules": "all-linear",
    "activation_checkpointing": False,
    "per_device_train_batch_size": 4,
    "max_steps": STEPS,
    "max_length": 256,
    "logging_steps": 1,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
    # Each has one CPU.
    "env": {"OMP_NUM_THREADS": "1"},
}
ENVIRONMENT = os.environ | {
    "HF_HUB_OFFLINE": "1",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": CONFIG["env"]["OMP_NUM_THREADS"],
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """The end of an optimizer step."""

    seconds: float
    """Since the start of the process."""
    tokens: float
    """Trained on so far."""


def main(rounds: int) -> None:
    cpus = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))[:2]]
    assert len(cpus) == 2, "each of the two needs a CPU of its own"
    first, speed = [], []
    for _ in range(rounds):
        ours, bare = _side_by_side(*cpus)
        first.append(ours[0].seconds / bare[0].seconds)
        speed.append(_tokens_together(ours, bare) / _tokens_together(bare, ours))
        told = f"first step {ours[0].seconds:.1f} / {bare[0].seconds:.1f} s = {first[-1]:.2f}"
        print(f"{told}, tokens/s {speed[-1]:.3f}", file=sys.stderr)
        cpus.reverse()
    print(f"{rounds} rounds of {STEPS} steps, median of the ratios ours / bare `trl sft`")
    print(f"| seconds to first step | {statistics.median(first):.2f} |")
    print(f"| tokens/s | {statistics.median(speed):.3f} |")


def _side_by_side(our_cpu: str, bare_cpu: str) -> tuple[list[Step], list[Step]]:
    with (
        tempfile.TemporaryDirectory() as ours,
        tempfile.TemporaryDirectory() as bare,
        ThreadPoolExecutor(2) as threads,
    ):
        began = (
            threads.submit(lambda: list(steps_of_ours(Path(ours), our_cpu))),
            threads.submit(lambda: list(steps_of_bare(Path(bare), bare_cpu))),
        )
        ended = began[0].result(), began[1].result()
    assert len(ended[0]) == len(ended[1]) == STEPS
    return ended


def _tokens_together(one: list[Step], other: list[Step]) -> float:
    """The number of tokens it trained on while the other trained as well."""
    begin = max(one[0].seconds, other[0].seconds)
    end = min(one[-1].seconds, other[-1].seconds)
    return _tokens_at(one, end) - _tokens_at(one, begin)


def _tokens_at(steps: list[Step], seconds: float) -> float:
    """Within a step, interpolated evenly."""
    for before, after in pairwise(steps):
        if seconds <= after.seconds:
            share = (seconds - before.seconds) / (after.seconds - before.seconds)
            return before.tokens + share * (after.tokens - before.tokens)
    return steps[-1].tokens


def steps_of_bare(folder: Path, cpus: str) -> Iterator[Step]:
    """The steps of a bare `trl sft` on these CPUs, as `taskset` lists them.

    It prints each record, which is timed when it arrives.
    """
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG | {"output_dir": str(folder / "output")}))
    trl = str(Path(sys.executable).with_name("trl"))
    begin = time.monotonic()
    with _start([trl, "sft", "--config", str(config)], folder, cpus) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{'loss'"):
                tokens = float(ast.literal_eval(line)["num_tokens"])
                yield Step(seconds=time.monotonic() - begin, tokens=tokens)
    assert process.returncode == 0


def steps_of_ours(folder: Path, cpus: str) -> Iterator[Step]:
    """The same for the trainer container's first process, which writes its records to a file."""
    run = Run(
        job=JobReference(namespace="bench", name="bench", uid="bench"),
        run_id="0123456789",
        attempt=1,
        config=CONFIG,
        output_uri=(folder / "output").as_uri(),
        world=World(master_port=_free_port()),
    )
    document, work = folder / "run.json", folder / "work"
    document.write_text(run.to_json())
    options = ["--run", str(document), "--work", str(work)]
    log = ["--termination-log", str(folder / "outcome.json")]
    begin = time.monotonic()
    command = [sys.executable, "-m", "finetune_trainer.attempt.supervisor", *options, *log]
    with _start(command, folder, cpus) as process:
        known = 0
        while process.poll() is None:
            file = work / "metrics.jsonl"
            lines = file.read_text().splitlines() if file.exists() else []
            for line in lines[known:]:
                if "loss" in (record := json.loads(line)):
                    seconds = time.monotonic() - begin
                    yield Step(seconds=seconds, tokens=float(record["num_tokens"]))
            known = len(lines)
            time.sleep(POLL_SECONDS)
    assert process.returncode == 0


def _start(command: list[str], folder: Path, cpus: str) -> "subprocess.Popen[str]":
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        ["taskset", "--cpu-list", cpus, *command],
        stdout=subprocess.PIPE,
        stderr=quiet,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
    )


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
