# SPDX-License-Identifier: Apache-2.0
"""What our trainer costs beside a bare `trl sft` with the same flags, as ratios in one run.

    python tests/benchmarks/trainer_overhead.py [ROUNDS]

Both train SmolLM2 on this machine from local files, turn by turn.
Prints the rows of docs/benchmarks.md.
"""

import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed import base_model

ROOT = Path(__file__).parents[2]
STEPS = 10
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
}
ENVIRONMENT = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "2"}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one training took."""

    first_step_seconds: float
    tokens_per_second: float


def main(rounds: int) -> None:
    ours, bare = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            bare.append(_figures(_bare(Path(folder))))
        with tempfile.TemporaryDirectory() as folder:
            ours.append(_figures(_ours(Path(folder))))
        print(f"bare {bare[-1]}\nours {ours[-1]}", file=sys.stderr)
    first = [o.first_step_seconds / b.first_step_seconds for o, b in zip(ours, bare, strict=True)]
    speed = [o.tokens_per_second / b.tokens_per_second for o, b in zip(ours, bare, strict=True)]
    print(f"{rounds} rounds of {STEPS} steps, median of the ratios ours / bare `trl sft`")
    print(f"| seconds to first step | {statistics.median(first):.2f} |")
    print(f"| tokens/s | {statistics.median(speed):.2f} |")


def _bare(folder: Path) -> Iterator[tuple[float, float]]:
    """Seconds since the start, and tokens so far, at each step of a bare `trl sft`."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG | {"output_dir": str(folder / "output")}))
    begin = time.monotonic()
    with subprocess.Popen(
        [Path(sys.executable).with_name("trl"), "sft", "--config", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=ENVIRONMENT,
        cwd=folder,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{'loss'"):
                yield time.monotonic() - begin, float(ast.literal_eval(line)["num_tokens"])
    assert process.returncode == 0


def _ours(folder: Path) -> Iterator[tuple[float, float]]:
    """The same for `finetune run`."""
    job = folder / "job.yaml"
    spec = {
        "config": CONFIG,
        "resources": {"gpusPerNode": 0},
        "output": {"uri": f"file://{folder}/o"},
    }
    job.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneJob",
                "metadata": {"name": "bench"},
                "spec": spec,
            }
        )
    )
    metrics = folder / "work" / "metrics.jsonl"
    begin = time.monotonic()
    with subprocess.Popen(
        [Path(sys.executable).with_name("finetune"), "run", job, "--work", folder / "work"],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
    ) as process:
        known = 0
        while process.poll() is None:
            lines = metrics.read_text().splitlines() if metrics.exists() else []
            for line in lines[known:]:
                record = json.loads(line)
                if "loss" in record:
                    yield time.monotonic() - begin, float(record["num_tokens"])
            known = len(lines)
            time.sleep(0.02)
    assert process.returncode == 0


def _figures(steps: Iterator[tuple[float, float]]) -> Figures:
    times, tokens = zip(*steps, strict=True)
    assert len(times) == STEPS
    return Figures(
        first_step_seconds=times[0],
        tokens_per_second=(tokens[-1] - tokens[0]) / (times[-1] - times[0]),
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
