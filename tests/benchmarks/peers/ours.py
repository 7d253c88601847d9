# SPDX-License-Identifier: Apache-2.0
"""Our side: one replica with its admission webhook, as the chart installs it."""

import compileall
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from benchmarks.checkouts import REPOSITORY
from benchmarks.peers.processes import Controller
from benchmarks.peers.sides import ADDRESS, Manifest, Place, Side, reached_by_address, user_of
from cluster.jobs import a_job
from testbed.ports import free_ports

_NAMESPACE, _ACCOUNT = "finetune-system", "finetune-operator"
_IMPORT = "import finetune_operator.__main__"


def installed_copy(folder: Path) -> dict[str, str]:
    """The environment of an interpreter for the operator as in its image: copied sources next to
    packages, all compiled, nothing editable.
    """
    source, bytecode = folder / "src", folder / "bytecode"
    for project in ("contract", "job-spec", "operator"):
        shutil.copytree(REPOSITORY / project / "src", source, dirs_exist_ok=True)
    path = os.pathsep.join([str(source), sysconfig.get_path("purelib")])
    environment = {"PYTHONPATH": path, "PYTHONPYCACHEPREFIX": str(bytecode)}
    compileall.compile_dir(str(source), quiet=1)
    subprocess.run([_python(), "-c", _IMPORT], check=True, env=environment)
    return environment


def install(place: Place, environment: Mapping[str, str]) -> Side:
    """Everything that the chart installs except its pods; the environment of `installed_copy`, with
    additional settings if any.
    """
    plane = place.plane
    plane.kubectl("apply", "--server-side", "-f", REPOSITORY / "crds")
    plane.kubectl("apply", "-f", REPOSITORY / "deploy" / "namespace.yaml")
    place.apply(it for it in _deployed("operator.yaml") if it["kind"] != "Deployment")
    port, webhook_port = free_ports(2)
    certificates = place.folder / "certificates"
    authority = place.certificates(certificates)
    place.apply(
        reached_by_address(it, webhook_port, authority)
        for it in _deployed("webhook.yaml")
        if it["kind"] == "ValidatingWebhookConfiguration"
    )
    operator = Controller(
        "operator",
        [_python(), "-m", "finetune_operator"],
        {
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(place.kubeconfig_of(_NAMESPACE, _ACCOUNT)),
            "TRAINER_IMAGE": "trainer:1",
            "POD_NAME": "operator-0",
            "LISTEN_ADDRESS": ADDRESS,
            "PORT": str(port),
            "WEBHOOK_PORT": str(webhook_port),
            "WEBHOOK_CERTIFICATES": str(certificates),
            **environment,
        },
        health_port=port,
        folder=place.folder,
    )
    return Side(
        title="ours",
        controllers=[operator],
        accounts=frozenset({user_of(_NAMESPACE, _ACCOUNT)}),
        resource="/apis/finetune.dev/v1alpha1/namespaces/{}/finetunejobs",
        a_job=a_job,
        has_ended_well=lambda job: job.get("status", {}).get("phase") == "Succeeded",
    )


def _python() -> str:
    """Outside the virtual environment, whose editable installs it would find."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _deployed(file: str) -> Iterator[Manifest]:
    yield from yaml.safe_load_all((REPOSITORY / "deploy" / file).read_text())
