# SPDX-License-Identifier: Apache-2.0
"""The cost of checkpoints for a training with concurrent uploads to a real S3 (SeaweedFS).

The same job with a checkpoint every third step and with none, on this machine, turn by turn.
Prints the rows of docs/contributing/benchmarks.md.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed import base_model, stock
from testbed.object_store import ObjectStore

ROOT = Path(__file__).parents[2]
STEPS = 12
EVERY = 3
CONFIG: dict[str, Any] = {
    "model_name_or_path": str(base_model.folder()),
    "dataset_name": str(ROOT / "configs" / "datasets" / "windrose"),
    "use_peft": True,
    # A checkpoint of some 230 MB: an adapter's size for a model fifty times as large.
    "lora_r": 64,
    "lora_target_modules": "all-linear",
    "per_device_train_batch_size": 2,
    "max_steps": STEPS,
    "max_length": 128,
    "logging_steps": 1,
    "use_cpu": True,
    "bf16": False,
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The time of one training."""

    seconds: float
    held_up: list[float]
    """The delay by each checkpoint."""


def main(rounds: int) -> None:
    with ObjectStore.start() as store:
        store.make_bucket("models")
        environment = os.environ | stock.environment(store) | {"HF_HUB_OFFLINE": "1"}
        none, some = [], []
        for turn in range(rounds):
            none.append(_train(environment, f"none-{turn}", {"save_strategy": "no"}))
            some.append(_train(environment, f"some-{turn}", {"save_steps": EVERY}))
            print(f"none {none[-1]}\nsome {some[-1]}", file=sys.stderr)
    ratios = [s.seconds / n.seconds for s, n in zip(some, none, strict=True)]
    held_up = [seconds for figures in some for seconds in figures.held_up]
    shares = [sum(figures.held_up) / figures.seconds for figures in some]
    print(f"{rounds} rounds of {STEPS} steps, a checkpoint every {EVERY}")
    print(f"| a step is held up by a checkpoint, median | {statistics.median(held_up):.2f} s |")
    print(f"| share of the training that is | {statistics.median(shares):.3f} |")
    print(f"| training with uploads / without checkpoints | {statistics.median(ratios):.2f} |")


def _train(environment: dict[str, str], name: str, saving: dict[str, Any]) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / "job.yaml"
        spec = {
            "config": CONFIG | saving,
            "resources": {"gpusPerNode": 0},
            "output": {"uri": f"s3://models/{name}"},
        }
        head = {"apiVersion": "finetune.dev/v1alpha1", "kind": "FineTuneJob"}
        job.write_text(yaml.safe_dump({**head, "metadata": {"name": name}, "spec": spec}))
        work = Path(folder) / "work"
        command = [Path(sys.executable).with_name("finetune"), "run", job, "--work", work]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        records = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    return Figures(
        seconds=next(r["train_runtime"] for r in records if "train_runtime" in r),
        held_up=[r["checkpoint_seconds"] for r in records if "checkpoint_seconds" in r],
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
