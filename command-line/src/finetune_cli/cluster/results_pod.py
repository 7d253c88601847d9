# SPDX-License-Identifier: Apache-2.0
"""The pod that reads a job's results for a user who has no credentials for its store. No I/O here.

It is a copy of the attempt's pod, with its image and service account, but requests no GPU and
trains nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Body = Mapping[str, Any]

SECONDS = 3600
"""Then it is deleted, even if its client has ended."""

COMMAND = ("python3", "-m", "finetune_cli", "download")

RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}

DISK = "ephemeral-storage"

_OF_TRAINING = ("run", "token", "shared-memory", "model-cache")
"""Volumes."""

_OF_GPUS = ("nodeSelector", "affinity", "topologySpreadConstraints", "runtimeClassName")
_OF_ATTEMPT = ("resourceClaims", "subdomain", "hostname", "terminationGracePeriodSeconds")


def build_pod(job: Body, batch_job: Body) -> dict[str, Any]:
    """A pod like those of an attempt's batch Job that waits for an exec of `COMMAND`; deleted with
    its job.
    """
    about, template = job["metadata"], batch_job["spec"]["template"]
    owner = {"apiVersion": job["apiVersion"], "kind": job["kind"]}
    left_out = (*_OF_GPUS, *_OF_ATTEMPT)
    spec = {name: value for name, value in template["spec"].items() if name not in left_out}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": f"{about['name']}-results-",
            "labels": {"app.kubernetes.io/name": "finetune-results"},
            "ownerReferences": [owner | {"name": about["name"], "uid": about["uid"]}],
        },
        "spec": {
            **spec,
            "activeDeadlineSeconds": SECONDS,
            "terminationGracePeriodSeconds": 1,
            "containers": [_container(spec["containers"][0])],
            "volumes": _without(spec["volumes"]),
        },
    }


def _container(trainer: Body) -> dict[str, Any]:
    mounts = _without(trainer["volumeMounts"])
    work = next(it["mountPath"] for it in mounts if it["name"] == "work")
    return {
        **{name: value for name, value in trainer.items() if name != "args"},
        "command": ["python3", "-c", f"import time; time.sleep({SECONDS})"],
        "env": [*trainer["env"], {"name": "TMPDIR", "value": work}],
        "resources": _resources(trainer.get("resources", {})),
        "volumeMounts": mounts,
    }


def _resources(trainer: Body) -> dict[str, Any]:
    """The same kinds of resources as the trainer's: a quota of the namespace may require them."""
    resources = {section: dict(amounts) for section, amounts in RESOURCES.items()}
    if "cpu" in trainer.get("limits", {}):
        resources["limits"]["cpu"] = "1"
    for section in resources:
        disk = trainer.get(section, {}).get(DISK)
        if disk is not None:
            resources[section][DISK] = disk
    return resources


def _without(volumes: Sequence[Body]) -> list[Body]:
    return [it for it in volumes if it["name"] not in _OF_TRAINING]
