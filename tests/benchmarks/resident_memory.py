# SPDX-License-Identifier: Apache-2.0
"""The memory of one cached object in the operator, here and at earlier commits, in turns.

    python tests/benchmarks/resident_memory.py [COMMIT ...]

Needs Git, no cluster: pages of objects are read as the API server sends them, and cached. Each
figure is from a separate process. Prints the rows of docs/contributing/benchmarks.md.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.checkouts import HERE, checkouts, environment_of
from benchmarks.reconcile_pass_timer import WRITTEN
from benchmarks.typical_config import TYPICAL
from finetune_operator.job.attempts import Result
from finetune_operator.job.decide.decision import decide
from finetune_operator.job.manifests import build_attempt
from finetune_operator.job.observe.observation import Observed
from finetune_operator.job.spec import parse_job
from finetune_operator.job.status.status import next_status
from support.factories import NOW, SETTINGS, a_good_outcome, a_job_body, an_attempt

OBJECTS = 3000
UID = "00000000-1111-2222-3333-444455556666"
METADATA = {"uid": UID, "resourceVersion": "123", "creationTimestamp": WRITTEN, "generation": 1}
REMEMBER = f"""
import gc, json, sys
from finetune_operator.kube.cache import Kind, ObjectCache
from finetune_operator.kube.pages import parse_page

def resident():
    status = open("/proc/self/status").read()
    return int(status.split("VmRSS:")[1].split()[0])

kind, text = Kind[sys.argv[1]], sys.stdin.read()
cache, before = ObjectCache(), resident()
for first in range(0, {OBJECTS}, 100):
    items = [text.replace("{UID}", f"{{n:08d}}{UID[8:]}").replace("balloon", f"job-{{n}}")
             for n in range(first, first + 100)]
    page = '{{"metadata":{{}},"items":[' + ",".join(items) + "]}}"
    for item in parse_page(page.encode())["items"]:
        cache.remember(kind, item)
del items, page, item
gc.collect()
print((resident() - before) / {OBJECTS})
"""


def main(commits: list[str]) -> None:
    objects = _objects()
    with tempfile.TemporaryDirectory() as folder:
        trees = checkouts(commits, Path(folder))
        for name, (kind, body) in objects.items():
            told = {tree: _kibibytes(place, kind, body) for tree, place in trees.items()}
            size = len(json.dumps(body)) / 1024
            figures = " | ".join(f"{told[it]:.1f}" for it in (*commits, HERE))
            print(f"| {name}, {size:.1f} KiB of JSON | {figures} |")


def _objects() -> dict[str, tuple[str, Any]]:
    body = a_job_body(config=TYPICAL, metadata=METADATA)
    job = parse_job(body, SETTINGS)
    attempt = an_attempt(1, Result.SUCCEEDED, definition=job.definition)
    observed = Observed(attempts=(attempt,), outcome=a_good_outcome())
    status = next_status({}, job, observed, decide(job, observed, NOW), NOW)
    batch_job = build_attempt(job, 1, SETTINGS)[-1]
    labels = batch_job["metadata"]["labels"]
    owners = [{"uid": UID, "controller": True, "kind": "Job", "name": "balloon-1"}]
    pod = {
        "metadata": {**METADATA, "namespace": "team", "labels": labels, "name": "balloon-1-abcde"},
        "spec": batch_job["spec"]["template"]["spec"],
        "status": {"phase": "Pending"},
    }
    pod["metadata"]["ownerReferences"] = owners
    started = {"startTime": WRITTEN, "active": 1, "ready": 0}
    batch_job["metadata"] |= METADATA
    return {
        "a job that has finished": ("JOB", {**body, "status": status}),
        "a batch Job": ("TRAINING_JOB", {**batch_job, "status": started}),
        "a pod": ("POD", pod),
    }


def _kibibytes(tree: Path, kind: str, body: Any) -> float:
    run = [sys.executable, "-c", REMEMBER, kind]
    text = json.dumps(body)
    environment = environment_of(tree)
    printed = subprocess.run(
        run, env=environment, input=text, check=True, capture_output=True, text=True
    )
    return float(printed.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
