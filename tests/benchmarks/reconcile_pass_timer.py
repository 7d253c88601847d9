# SPDX-License-Identifier: Apache-2.0
"""Times passes of the operator on PYTHONPATH; prints milliseconds as JSON.

Started by `reconcile_pass.py`, also for old operators without rooms: so it imports by either name,
and builds all of its input itself.
"""

import asyncio
import copy
import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.typical_config import TYPICAL

BATCHES = 12
PASSES = 50
NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WRITTEN = "2026-05-04T12:00:00Z"


def _import(*names: str) -> Any:
    """The first of these modules that exists."""
    for name in names[:-1]:
        try:
            return importlib.import_module(f"finetune_operator.{name}")
        except ModuleNotFoundError:
            continue
    return importlib.import_module(f"finetune_operator.{names[-1]}")


RECONCILE = _import("job.reconcile", "reconcile")
HAS_ROOMS = RECONCILE.__name__ == "finetune_operator.job.reconcile"
CHECK = importlib.import_module("finetune_spec.job" if HAS_ROOMS else "finetune_contract.job_check")
OBSERVATION = _import("job.observe.observation", "observation")
SETTINGS = _import("settings").Settings.from_env({"TRAINER_IMAGE": "trainer:1"})


class Cluster:
    """One job and its children; created objects run immediately."""

    def __init__(self, number: int) -> None:
        self.children = OBSERVATION.Children()
        self.job: dict[str, Any] = {
            "apiVersion": "finetune.dev/v1alpha1",
            "kind": "FineTuneJob",
            "metadata": {
                "namespace": "team",
                "name": f"balloon-{number}",
                "uid": f"uid-{number}",
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": WRITTEN,
            },
            "spec": {
                "config": dict(TYPICAL),
                "resources": {"nodes": 1, "gpusPerNode": 2},
                "output": {"uri": f"s3://models/balloon-{number}"},
                "retry": {"maxAttempts": 3},
                "terminationGracePeriodSeconds": 600,
            },
        }

    async def children_of(self, body: Any) -> Any:
        return self.children

    async def confirm_newest(self, body: Any) -> None: ...

    async def confirm_none_runs(self, body: Any) -> None: ...

    async def create(self, manifest: dict[str, Any]) -> None:
        if manifest["kind"] != "Job":
            return
        made = copy.deepcopy(manifest)
        made["metadata"] |= {"uid": "uid-of-job", "creationTimestamp": WRITTEN}
        made["status"] = {"startTime": WRITTEN, "active": 1}
        pod = {
            "metadata": {
                **made["metadata"],
                "name": "pod",
                "uid": "uid-of-pod",
                "ownerReferences": [{"uid": "uid-of-job", "controller": True, "kind": "Job"}],
            },
            "spec": {},
            "status": {"phase": "Running", "startTime": WRITTEN},
        }
        self.children = OBSERVATION.Children(training_jobs=(made,), pods=(pod,))

    async def write_status(self, body: Any, patch: Mapping[str, Any]) -> None:
        """As in a response of the API server, no object is the same, and all are equal."""
        status = {**self.job.get("status", {}), **patch}
        self.job = json.loads(json.dumps({**self.job, "status": status}))

    async def tell(self, event: Any) -> None: ...


async def _settled(number: int, kept: Mapping[str, Any]) -> Cluster:
    """A job whose attempt trains, and whose status needs no more writes."""
    cluster = Cluster(number)
    for _ in range(5):
        done = await _pass_over(cluster, kept)
    if done.has_written or done.phase != "Starting":
        raise RuntimeError(f"the job does not settle: {done}")
    return cluster


async def _pass_over(cluster: Cluster, kept: Mapping[str, Any]) -> Any:
    now = NOW + timedelta(minutes=1)
    return await RECONCILE.reconcile(
        cluster.job, cluster=cluster, settings=SETTINGS, now=now, **kept
    )


async def _measure(clusters: list[Cluster], kept: Mapping[str, Any]) -> float:
    """Milliseconds of CPU for each pass over these jobs, in the fastest of the batches."""
    fastest = float("inf")
    for batch in range(BATCHES):
        gc.collect()
        ours = clusters[batch * PASSES :] or clusters
        begin = time.process_time()
        for number in range(PASSES):
            await _pass_over(ours[number % len(ours)], kept)
        fastest = min(fastest, time.process_time() - begin)
    return fastest / PASSES * 1000


def _measure_check(spec: Mapping[str, Any]) -> float:
    fastest = float("inf")
    for _ in range(BATCHES):
        begin = time.process_time()
        for _ in range(PASSES):
            CHECK.check_job(spec)
        fastest = min(fastest, time.process_time() - begin)
    return fastest / PASSES * 1000


def _new_memory() -> Mapping[str, Any]:
    """The cache that an operator passes to each of its passes."""
    try:
        known_specs = importlib.import_module("finetune_operator.job.known_specs")
    except ModuleNotFoundError:
        return {}
    return {"read": known_specs.KnownSpecs().read}


async def main(new_memory: Callable[[], Mapping[str, Any]] = _new_memory) -> None:
    clusters = [await _settled(number, new_memory()) for number in range(BATCHES * PASSES)]
    kept = new_memory()
    figures = {
        "check of its spec": _measure_check(clusters[0].job["spec"]),
        "first pass of a replica over a job that runs": await _measure(clusters, kept),
        "later pass, nothing changed": await _measure(clusters[:1], kept),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main())
