# SPDX-License-Identifier: Apache-2.0
"""The sides of the comparison: controllers with their permissions, and a kind of job."""

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.peers.processes import Controller
from cluster.accounts import kubeconfig_of_account
from testbed.certificates import Identity, issue
from testbed.control_plane import ControlPlane

ADDRESS = "127.0.0.1"
Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two."""

    title: str
    controllers: Sequence[Controller]
    accounts: frozenset[str]
    """The accounts whose writes count, in the audit log."""
    resource: str
    """Path of the job's kind below a namespace: group, version and plural, with {} between."""
    a_job: Callable[[str], Manifest]
    has_ended_well: Callable[[Manifest], bool]
    complete: Callable[[], None] = lambda: None
    """Installs the parts that require served webhooks."""

    def cpu_seconds(self) -> float:
        return sum(it.cpu_seconds() for it in self.controllers)

    def resident_mebibytes(self) -> float:
        return sum(it.resident_mebibytes() for it in self.controllers)

    def end(self) -> None:
        for controller in self.controllers:
            controller.end()


@dataclass(frozen=True, kw_only=True)
class Place:
    """The target of an installation: a control plane, and a directory for its files."""

    plane: ControlPlane
    folder: Path

    def apply(self, manifests: Iterable[Manifest]) -> None:
        text = yaml.dump_all(list(manifests), Dumper=yaml.CSafeDumper)
        self.plane.kubectl("apply", "--server-side", "-f", "-", input=text)

    def certificates(self, folder: Path) -> str:
        """Creates tls.crt and tls.key for the webhook's server; returns the CA for a caBundle."""
        folder.mkdir(parents=True)
        issue(folder, (Identity(file="tls", user="webhook", addresses=(ADDRESS,)),))
        return base64.b64encode((folder / "ca.crt").read_bytes()).decode()

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """Its permissions are those in its manifests."""
        return kubeconfig_of_account(self.plane, self.folder, namespace=namespace, account=account)


def user_of(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def reached_by_address(configuration: Manifest, port: int, authority: str) -> Manifest:
    """A webhook configuration whose Service is a process of this machine."""
    return {
        **configuration,
        "webhooks": [_there(it, port, authority) for it in _hooks(configuration)],
    }


def _hooks(configuration: Mapping[str, Any]) -> list[Manifest]:
    return list(configuration["webhooks"])


def _there(webhook: Manifest, port: int, authority: str) -> Manifest:
    path = webhook["clientConfig"]["service"]["path"]
    client = {"url": f"https://{ADDRESS}:{port}{path}", "caBundle": authority}
    return {**webhook, "clientConfig": client}
