# SPDX-License-Identifier: Apache-2.0
"""A GPU that is too small, simulated on a CPU: the next attempt gets the same result with less
memory.

Only the shortage is simulated: a module that Python loads at its start, mounted by the job's own
podTemplate, raises CUDA's error in ranks whose batch is larger than one row.
"""

import pytest

from cluster.jobs import Jobs, a_short_job

pytestmark = pytest.mark.cluster

SOURCES = "/opt/finetune/src"
"""The directory of the trainer in the image."""

SHORTAGE = """
import sys
from pathlib import Path


class Shortage:
    def find_spec(self, name, path=None, target=None):
        if name == "trl" and "finetune_trainer.ranks.rank" in sys.orig_argv:
            config = (Path(sys.orig_argv[-1]) / "config.yaml").read_text()
            if "per_device_train_batch_size: 1\\n" not in config:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.")


sys.meta_path.insert(0, Shortage())
"""


def test_a_job_that_runs_out_of_memory_is_retried_with_smaller_batches(jobs: Jobs) -> None:
    jobs.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shortage"},
            "data": {"sitecustomize.py": SHORTAGE},
        }
    )
    # Not detected at apply: docs/platform/guard-rails.md describes it.
    jobs.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "shortage-path"},
            "data": {"PYTHONPATH": f"/shortage:{SOURCES}"},
        }
    )
    job = a_short_job(
        "scarce",
        steps=1,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=3,
    )
    job["spec"]["podTemplate"] = {
        "spec": {
            "volumes": [{"name": "shortage", "configMap": {"name": "shortage"}}],
            "containers": [
                {
                    "name": "trainer",
                    "envFrom": [{"configMapRef": {"name": "shortage-path"}}],
                    "volumeMounts": [{"name": "shortage", "mountPath": "/shortage"}],
                }
            ],
        }
    }
    status = jobs.wait_for_end(jobs.apply(job))

    first, second = status["attempts"]
    assert (first["reason"], first["category"]) == ("OutOfMemory", "OutOfMemory")
    assert second["adjustments"]["per_device_train_batch_size"] == 1
    assert second["adjustments"]["gradient_accumulation_steps"] == 6
    assert status["phase"] == "Succeeded", status
