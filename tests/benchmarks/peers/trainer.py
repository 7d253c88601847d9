# SPDX-License-Identifier: Apache-2.0
"""Their side: Kubeflow Trainer and JobSet, as their own manifests install them."""

import json
import os
from pathlib import Path

import yaml

from benchmarks.peers.processes import Controller
from benchmarks.peers.sides import ADDRESS, Manifest, Place, Side, reached_by_address, user_of
from testbed import binaries
from testbed.ports import free_ports

_TRAINER = ("kubeflow-system", "kubeflow-trainer-controller-manager")
_JOBSET = ("jobset-system", "jobset-controller-manager")
_LOG_LEVEL = "--zap-log-level=2"
"""The level in both of their manifests."""
_RUNTIME = "torch_distributed.yaml"


def install(place: Place) -> Side:
    programs = binaries.build(binaries.PEERS)
    trainer = binaries.sources_of("github.com/kubeflow/trainer/v2", binaries.PEERS) / "manifests"
    jobset = binaries.sources_of("sigs.k8s.io/jobset", binaries.PEERS) / "config"
    controllers = [
        _jobset(place, jobset, programs / "jobset"),
        _trainer(place, trainer, programs / "trainer"),
    ]
    runtime = trainer / "base" / "runtimes" / _RUNTIME
    return Side(
        title="Trainer and JobSet",
        controllers=controllers,
        accounts=frozenset({user_of(*_TRAINER), user_of(*_JOBSET)}),
        resource="/apis/trainer.kubeflow.org/v1alpha1/namespaces/{}/trainjobs",
        a_job=a_train_job,
        has_ended_well=_is_complete,
        complete=lambda: _apply_reviewed(place, runtime),
    )


def a_train_job(name: str) -> Manifest:
    """One node of the runtime for torch, without its initializers: the smallest that they can
    run.
    """
    command = ["trl", "sft", "--model_name_or_path", "/models/tiny", "--dataset_name", "/data"]
    resources = {"requests": {"memory": "6Gi"}, "limits": {"memory": "6Gi"}}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": {"name": name},
        "spec": {
            "runtimeRef": {"name": "torch-distributed"},
            "trainer": {
                "image": "trainer:1",
                "command": command,
                "numNodes": 1,
                "resourcesPerNode": resources,
            },
        },
    }


def _jobset(place: Place, config: Path, program: Path) -> Controller:
    port, health = free_ports(2)
    settings = {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "leaderElection": {"leaderElect": True, "resourceNamespace": _JOBSET[0]},
        "internalCertManagement": {"enable": False},
        "webhook": {"port": port, "host": ADDRESS},
        "health": {"healthProbeBindAddress": f"{ADDRESS}:{health}"},
        "metrics": {"bindAddress": "0"},
    }
    return _installed(place, _JOBSET, config / "default", settings, program, port, health)


def _trainer(place: Place, manifests: Path, program: Path) -> Controller:
    port, health = free_ports(2)
    shipped = manifests / "base" / "manager" / "controller_manager_config.yaml"
    settings = yaml.safe_load(shipped.read_text())
    settings["webhook"] = {"port": port, "host": ADDRESS}
    settings["health"]["healthProbeBindAddress"] = f"{ADDRESS}:{health}"
    settings["metrics"] = {"bindAddress": "0"}
    settings["leaderElection"]["resourceNamespace"] = _TRAINER[0]
    settings["certManagement"]["enable"] = False
    folder = _without_jobset(manifests / "base", place.folder / "trainer-manifests")
    return _installed(place, _TRAINER, folder, settings, program, port, health)


def _without_jobset(base: Path, folder: Path) -> Path:
    """Their overlay without JobSet, whose manifests it would fetch, and without their pods."""
    folder.mkdir()
    parts = [os.path.relpath(base / part, folder) for part in ("crds", "rbac", "webhook")]
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump({"namespace": _TRAINER[0], "resources": parts})
    )
    return folder


def _installed(
    place: Place,
    who: tuple[str, str],
    kustomization: Path,
    settings: Manifest,
    program: Path,
    port: int,
    health_port: int,
) -> Controller:
    namespace, account = who
    home = place.folder / account
    authority = place.certificates(home / "k8s-webhook-server" / "serving-certs")
    built = place.plane.kubectl("kustomize", kustomization)
    manifests = list(yaml.load_all(built, Loader=yaml.CSafeLoader))
    place.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    place.apply(
        reached_by_address(it, port, authority) if "webhooks" in it else it
        for it in manifests
        if it["kind"] not in ("Deployment", "Namespace")
    )
    file = home / "settings.yaml"
    file.write_text(json.dumps(settings))
    kubeconfig = place.kubeconfig_of(namespace, account)
    return Controller(
        program.name,
        [str(program), f"--config={file}", _LOG_LEVEL],
        # It looks for the webhook's certificates in the directory of temporary files.
        {"KUBECONFIG": str(kubeconfig), "TMPDIR": str(home)},
        health_port=health_port,
        folder=place.folder,
    )


def _apply_reviewed(place: Place, runtime: Path) -> None:
    place.plane.kubectl("apply", "--server-side", "-f", runtime)


def _is_complete(job: Manifest) -> bool:
    conditions = job.get("status", {}).get("conditions", [])
    return any(it["type"] == "Complete" and it["status"] == "True" for it in conditions)
