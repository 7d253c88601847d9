# SPDX-License-Identifier: Apache-2.0
"""The first job without a cluster: the same file, the same trainer, a real object store.

python -m testbed demo
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed import stock
from testbed.bucket import Bucket
from testbed.narration import say, step
from testbed.object_store import ObjectStore

JOB = Path("configs/examples/first-job.yaml")
PLACE = Path(".demo")


def run(repository: Path) -> int:
    """Fine-tunes the first job's model; returns the trainer's exit code."""
    place = repository / PLACE
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with ObjectStore.start() as store:
        with step("Put model and data into an object store on 127.0.0.1"):
            stock.fill(store, repository / "configs")
        command = ["run", str(JOB), "--work", str(place / "work")]
        say(f"\n$ finetune {' '.join(command)}")
        done = subprocess.run(
            [Path(sys.executable).with_name("finetune"), *command],
            cwd=repository,
            env=os.environ | stock.environment(store),
        )
        if done.returncode:
            return done.returncode
        bucket = Bucket.of(store, stock.MODELS)
        run_folder = Path(str(bucket.read_json("first-job/latest.json")["manifest"])).parent
        for part in ("adapter", "report"):
            bucket.download(f"first-job/{run_folder}/{part}", place / part)
    shutil.rmtree(place / "work", ignore_errors=True)
    say(f"""
The object store was removed; the published results are kept:
  {PLACE}/adapter             the LoRA weights, with tokenizer and model card
  {PLACE}/report/report.html  curves, answers before and after, config, versions
  {PLACE}/report/loss.svg     the loss curve""")
    return 0
