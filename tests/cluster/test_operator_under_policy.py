# SPDX-License-Identifier: Apache-2.0
"""The operator under the chart's admission policy does all of its work; it keeps the CA in its
webhook's configuration and changes nothing else of it. No node: pods are simulated.
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import yaml

from chart.releases import CHART, render
from cluster.jobs import Kubectl
from cluster.replica import is_served
from cluster.replicas import Stage, finish, is_begun, wait_until
from cluster.stolen_token import Manifest
from testbed import helm
from testbed.control_plane import ControlPlane
from testbed.ports import free_ports

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

WEBHOOK = "finetune-operator"

Change = Callable[[Manifest], object]


@pytest.fixture
def webhook(plane: ControlPlane) -> Iterator[Manifest]:
    """The chart's configuration, for a kind that does not exist: no server is behind it here."""
    found = deepcopy(render().only("ValidatingWebhookConfiguration"))
    found["webhooks"][0]["rules"][0]["apiGroups"] = ["nobody.example.com"]
    plane.kubectl("apply", "-f", "-", input=json.dumps(found))
    roles = [
        it
        for it in render().manifests
        if it["metadata"]["name"] == f"{WEBHOOK}-webhook" and "Role" in it["kind"]
    ]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(roles))
    where = ("validatingwebhookconfiguration", WEBHOOK)
    yield json.loads(plane.kubectl("get", *where, "-o", "json"))
    plane.kubectl("delete", *where)


def _hook(configuration: Manifest) -> Manifest:
    hook: Manifest = configuration["webhooks"][0]
    return hook


CHANGES: Mapping[str, Change] = {
    "all secrets": lambda it: _hook(it)["rules"].append(
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["secrets"],
            "operations": ["CREATE"],
            "scope": "*",
        }
    ),
    "another server": lambda it: _hook(it).update(clientConfig={"url": "https://example.com/x"}),
    "another service": lambda it: _hook(it)["clientConfig"]["service"].update(name="x"),
    "all must ask": lambda it: _hook(it).update(failurePolicy="Fail"),
    "more namespaces": lambda it: _hook(it).update(namespaceSelector={"matchLabels": {"a": "b"}}),
    "other objects": lambda it: _hook(it).update(objectSelector={}),
    "a condition": lambda it: _hook(it).update(
        matchConditions=[{"name": "x", "expression": "true"}]
    ),
    "longer waits": lambda it: _hook(it).update(timeoutSeconds=30),
    "one more": lambda it: it["webhooks"].append(
        {**_hook(it), "name": "x.example.com", "failurePolicy": "Fail"}
    ),
    "none": lambda it: it.update(webhooks=[]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_operator_can_change_nothing_but_the_ca_of_its_webhook(
    as_operator: Kubectl, webhook: Manifest, change: str
) -> None:
    CHANGES[change](webhook)

    with pytest.raises(RuntimeError, match="may change only caBundle in its webhook's"):
        as_operator("replace", "--dry-run=server", "-f", "-", input=json.dumps(webhook))


def test_the_operator_can_change_the_ca_of_its_webhook(
    plane: ControlPlane, as_operator: Kubectl, webhook: Manifest
) -> None:
    authority = (Path(plane.kubeconfig).parent / "ca.crt").read_bytes()
    _hook(webhook)["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()

    as_operator("replace", "-f", "-", input=json.dumps(webhook))


def test_helm_detects_that_the_api_server_supports_admission_policies(plane: ControlPlane) -> None:
    would_be = helm.run(
        *("install", "finetune-operator", CHART, "--namespace", "finetune-system"),
        *("--dry-run=server", "--take-ownership", "--set", "crds.install=false"),
        kubeconfig=plane.kubeconfig,
    )

    assert would_be.count("kind: ValidatingAdmissionPolicy\n") == 2


@contextmanager
def running(kubeconfig: Path, folder: Path) -> Iterator[Path]:
    """The real operator, with the account's own permissions; returns the path of its log."""
    (port,) = free_ports(1)
    log = folder / "operator.log"
    environment = os.environ | {
        "KUBECONFIG": str(kubeconfig),
        "TRAINER_IMAGE": "trainer:1",
        "PORT": str(port),
        "LISTEN_ADDRESS": "127.0.0.1",
        "ALLOWED_SERVICE_ACCOUNTS": "default,trainer-*",
    }
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "finetune_operator"], env=environment, stdout=file, stderr=file
        )
    try:
        wait_until(lambda: is_served(f"http://127.0.0.1:{port}/readyz"), "the operator is ready")
        yield log
    finally:
        process.kill()
        process.wait()


def test_jobs_and_schedules_run_to_the_end_under_the_policy(
    plane: ControlPlane, stolen: Path, team: str, tmp_path: Path
) -> None:
    stage = Stage(plane, team, tmp_path)
    leases = "/apis/coordination.k8s.io/v1/namespaces/finetune-system/leases"
    stage.ask("DELETE", leases)
    schedule = {
        "apiVersion": "finetune.dev/v1alpha1",
        "kind": "FineTuneSchedule",
        "metadata": {"namespace": team, "name": "often"},
        "spec": {
            "schedule": "* * * * *",
            "successfulJobsHistoryLimit": 0,
            "jobTemplate": {
                "spec": {
                    "config": {
                        "model_name_or_path": "s3://models/tiny",
                        "dataset_name": "s3://datasets/tiny",
                    },
                    "output": {"uri": "s3://models/often"},
                }
            },
        },
    }

    with running(stolen, tmp_path) as log:
        wide = stage.apply("wide", resources={"nodes": 2}, ttlSecondsAfterFinished=0)
        wait_until(lambda: is_begun(stage, wide), "a job of two nodes is begun")
        assert len(stage.training_jobs()) == 1
        finish(stage, wide)
        wait_until(lambda: not stage.training_jobs(), "its children are deleted after it")
        stage.ask(
            "POST", f"/apis/finetune.dev/v1alpha1/namespaces/{team}/finetuneschedules", schedule
        )
        made = partial(_jobs_of_schedule, stage)
        wait_until(lambda: bool(made()), "the schedule has made a job")
        (first,) = made()[:1]
        wait_until(lambda: is_begun(stage, first), "it is begun")

        def is_deleted() -> bool:
            stage.play_pods()
            return first not in made()

        wait_until(is_deleted, "it has ended, and the schedule has deleted it")
        said = log.read_text()

    assert "creates, changes and deletes only" not in said
    assert "Forbidden" not in said
    stage.ask("DELETE", f"/apis/finetune.dev/v1alpha1/namespaces/{team}/finetuneschedules/often")


def _jobs_of_schedule(stage: Stage) -> list[str]:
    path = f"/apis/finetune.dev/v1alpha1/namespaces/{stage.namespace}/finetunejobs"
    names = [it["metadata"]["name"] for it in stage.ask("GET", path)["items"]]
    return [name for name in names if name.startswith("often-")]
