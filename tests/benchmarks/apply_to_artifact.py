# SPDX-License-Identifier: Apache-2.0
"""Seconds from `kubectl apply` to the artifact in the bucket: a FineTuneJob, and a plain batch Job
that runs `trl sft` with the same config.

    python tests/benchmarks/apply_to_artifact.py [ROUNDS [STEPS]]

On a cluster of this machine, in turns (A B B A ...). The plain Job has the same image, fetches the
same model and data, and uploads what `trl sft` saved; it checks and verifies nothing. With one
step, the training's row is the time to the first step and to its saved adapter. Prints the rows of
docs/contributing/benchmarks.md: medians, by phase.
"""

import json
import re
import statistics
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from testbed import stock
from testbed.images import TRAINER

sys.path.insert(0, str(Path(__file__).parents[1]))
from cluster import installation
from cluster.jobs import Jobs, a_short_job

SECONDS = 600
SCRIPT = Path(__file__).with_name("plain_sft.py")

Marks = dict[str, float]
"""When something began, in seconds since `kubectl apply`, in order."""

MARKS = {
    "Fetching": r"phase Fetching",
    "Checking": r"phase Checking",
    "Training": r"phase Training",
    "Publishing": r"phase Publishing",
    "published": r"published uri=",
}
"""The lines of the log that say so. The plain Job's script writes them too, and has no checks."""

PHASES = {
    "apply until the process in the pod runs": ("apply", "Fetching"),
    "fetching model and data": ("Fetching", "Checking"),
    "checks before the training": ("Checking", "Training"),
    "training: imports, data, steps, saving; verification": ("Training", "Publishing"),
    "report and upload": ("Publishing", "published"),
    "artifact in the bucket until `kubectl wait` returns": ("published", "end"),
    "total": ("apply", "end"),
}


def main(rounds: int, steps: int) -> None:
    ours: list[Marks] = []
    plain: list[Marks] = []
    with installation.install() as installed:
        jobs = Jobs(kubectl=installed.kubectl, namespace=installation.NAMESPACE)
        jobs.run("create", "configmap", "plain-sft", "--from-file", f"run.py={SCRIPT}")
        for turn in range(rounds):
            sides = [(ours, a_fine_tune_job), (plain, a_plain_job)]
            for seen, run in sides if turn % 2 == 0 else reversed(sides):
                seen.append(run(jobs, f"{run.__name__.replace('_', '-')}-{turn}", steps))
                print(seen[-1], file=sys.stderr)
    print(f"medians of rounds: {rounds}, steps: {steps}")
    print("| seconds | FineTuneJob | plain Job |\n| --- | --- | --- |")
    for what, (begin, end) in PHASES.items():
        medians = [
            statistics.median(marks[end] - marks[begin] for marks in seen) for seen in (ours, plain)
        ]
        print(f"| {what} | {medians[0]:.1f} | {medians[1]:.1f} |")


def the_same_job(name: str, steps: int) -> dict[str, Any]:
    return a_short_job(
        name, steps=steps, dataset_name="s3://datasets/windrose", use_cpu=True, bf16=False
    )


def a_fine_tune_job(jobs: Jobs, name: str, steps: int) -> Marks:
    return timed(jobs, the_same_job(name, steps), "finetunejob", f"finetune.dev/job={name}")


def a_plain_job(jobs: Jobs, name: str, steps: int) -> Marks:
    spec = the_same_job(name, steps)["spec"]
    config = json.dumps({**spec["config"], "report_to": "none"})
    container = {
        "name": "trainer",
        "image": TRAINER.tag,
        "command": ["python3", "/plain-sft/run.py", config, spec["output"]["uri"]],
        "env": [{"name": "HOME", "value": "/work"}, {"name": "PYTHONUNBUFFERED", "value": "1"}],
        "envFrom": [{"secretRef": {"name": stock.SECRET}}],
        "resources": {"requests": {"memory": spec["resources"]["memory"]}},
        "workingDir": "/work",
        "volumeMounts": [
            {"name": "work", "mountPath": "/work"},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "script", "mountPath": "/plain-sft"},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "work", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "script", "configMap": {"name": "plain-sft"}},
        ],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    return timed(jobs, job, "job", f"batch.kubernetes.io/job-name={name}")


def timed(jobs: Jobs, resource: dict[str, Any], kind: str, selector: str) -> Marks:
    """Applies it, waits for its end, and reads the rest from its pod's log."""
    begin = time.time()
    name = jobs.apply(resource)
    jobs.run("wait", "--for=condition=Complete", f"{kind}/{name}", f"--timeout={SECONDS}s")
    end = time.time() - begin
    log = jobs.run("logs", "--timestamps", "--tail=-1", "--selector", selector)
    marks = {"apply": 0.0}
    for line in log.splitlines():
        moment, _, text = line.partition(" ")
        for mark, words in MARKS.items():
            if mark not in marks and re.search(words, text):
                marks[mark] = datetime.fromisoformat(moment).timestamp() - begin
    marks.setdefault("Checking", marks["Training"])
    return marks | {"end": end}


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(*given, *(4, 24)[len(given) :])
