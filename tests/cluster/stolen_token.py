# SPDX-License-Identifier: Apache-2.0
"""The operator's token used by an attacker, on a control plane with the chart's admission
policy.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from chart.releases import render
from cluster.accounts import kubeconfig_of_account
from cluster.jobs import Kubectl
from cluster.replicas import wait_until
from finetune_operator.job.manifests import build_attempt
from support.factories import SETTINGS, a_job
from testbed import binaries
from testbed.cluster import run_kubectl
from testbed.control_plane import ControlPlane

RAILS = ("guardRails.allowedServiceAccounts={default,trainer-*}",)

Manifest = dict[str, Any]


@contextmanager
def stolen_token(plane: ControlPlane, folder: Path) -> Iterator[Path]:
    """A kubeconfig with the operator's token, while the chart's policy is in force."""
    rendered = render(*RAILS).manifests
    parts = [it for it in rendered if it["kind"].startswith("ValidatingAdmissionPolicy")]
    assert len(parts) == 4
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(parts))
    file = kubeconfig_of_account(
        plane, folder, namespace="finetune-system", account="finetune-operator"
    )
    wait_until(
        lambda: refusal_of(kubectl_with(file), a_bare_job("default")) != "",
        "the policy is in force",
    )
    yield file
    plane.kubectl("delete", "-f", "-", "--wait", input=yaml.safe_dump_all(parts))


def kubectl_with(kubeconfig: Path) -> Kubectl:
    program = str(binaries.cluster_programs()["kubectl"])
    return partial(run_kubectl, [program, f"--kubeconfig={kubeconfig}"])


def refusal_of(kubectl: Kubectl, manifest: Manifest) -> str:
    """The API server's refusal of this, in a dry run; empty if it would be created."""
    try:
        kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(manifest))
    except RuntimeError as error:
        return str(error)
    return ""


def children_of(namespace: str, **given: Any) -> dict[str, Manifest]:
    """The objects that the operator creates for a job with two nodes, by kind."""
    resources = {"nodes": 2, "gpusPerNode": 1}
    job = a_job(metadata={"namespace": namespace}, **{"resources": resources, **given})
    return {it["kind"]: it for it in build_attempt(job, 1, SETTINGS)}


def without_owner(manifest: Manifest) -> Manifest:
    metadata = {key: it for key, it in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": metadata}


def a_bare_job(namespace: str) -> Manifest:
    return without_owner(children_of(namespace)["Job"])
