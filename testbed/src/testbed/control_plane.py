# SPDX-License-Identifier: Apache-2.0
"""A real control plane without a node: etcd, API server and controllers, up in seconds, no root.

Pods are created and stay Pending: the test writes the status that a node would report.
"""

import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import binaries
from testbed.certificates import ADMIN, Identity, issue, write_kubeconfig
from testbed.cluster import run_kubectl
from testbed.ports import free_ports
from testbed.readiness import Api, wait_until

_IDENTITIES = (
    Identity(file=ADMIN, user="admin", group="system:masters"),
    Identity(file="kube-apiserver", user="kube-apiserver", addresses=("127.0.0.1",)),
    Identity(file="service-accounts", user="service-accounts"),
)
_TIMEOUT_SECONDS = 60
_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        # They are renewed forever.
        {"level": "None", "resources": [{"group": "coordination.k8s.io"}]},
        {"level": "Metadata", "verbs": _WRITES},
        {"level": "None"},
    ],
}


class ControlPlane:
    """A running control plane."""

    def __init__(self, folder: Path, *, audited: bool, durable: bool) -> None:
        self._folder = folder
        self._audited = audited
        self._durable = durable
        self._programs = binaries.cluster_programs()
        self._etcd, self._etcd_peer, self._port, self._manager = free_ports(4)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kubeconfig = folder / "kubeconfig"

    @classmethod
    @contextmanager
    def up(cls, *, audited: bool = False, durable: bool = False) -> "Iterator[ControlPlane]":
        """For the duration of a block. Audited: writes are recorded, see `audit`. Durable: each
        write waits for the disk; otherwise a killed store loses nothing either, but a machine that
        stops would.
        """
        with tempfile.TemporaryDirectory(prefix="control-plane-") as name:
            plane = cls(Path(name), audited=audited, durable=durable)
            (plane._folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
            issue(plane._folder, _IDENTITIES)
            write_kubeconfig(
                plane.kubeconfig,
                server=f"https://127.0.0.1:{plane._port}",
                certificates=plane._folder,
                file=ADMIN,
            )
            try:
                for component in ("etcd", "kube-apiserver"):
                    plane.start(component)
                plane.wait_until_served()
                # It waits ten seconds for an API server, and ends.
                plane.start("kube-controller-manager")
                plane.wait_until_ready()
                yield plane
            finally:
                for component in reversed(list(plane._processes)):
                    plane.kill(component)

    def wait_until_ready(self) -> None:
        """Everything in `wait_until_served`, and the controllers."""
        api = Api(self._port, self._folder)
        self._wait(lambda: api.is_ready() and api.has_service_account(), "the control plane serves")

    def wait_until_served(self) -> None:
        """
        Raises:
            TimeoutError: the API server does not become ready.
            RuntimeError: a part of the control plane has ended.
        """
        self._wait(Api(self._port, self._folder).is_ready, "the API server serves")

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        wait_until(is_so, what=what, timeout_seconds=_TIMEOUT_SECONDS, check=self._fail_if_ended)

    def start(self, component: str) -> None:
        """Starts a component that is not running. It may need a moment until it serves."""
        program = str(self._programs[component])
        with (self._folder / f"{component}.log").open("ab") as log:
            self._processes[component] = subprocess.Popen(
                # It ends with the tests, however they end.
                ["setpriv", "--pdeathsig=KILL", program, *self._flags(component)],
                stdout=log,
                stderr=log,
            )

    def kill(self, component: str) -> None:
        """Kills with SIGKILL; the component is not restarted."""
        process = self._processes[component]
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kubectl(self, *arguments: str | Path, input: str | None = None) -> str:
        """Runs kubectl and returns its output.

        Raises:
            RuntimeError: it failed; the message contains its own.
        """
        command = [str(self._programs["kubectl"]), f"--kubeconfig={self.kubeconfig}"]
        return run_kubectl(command, *arguments, input=input)

    @property
    def audit_log(self) -> Path:
        """The file where the API server records each write except of Leases, one audit.k8s.io/v1
        Event per line.
        """
        return self._folder / "audit.log"

    def audit(self) -> list[dict[str, Any]]:
        """The events that the API server has recorded so far."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines()]

    def _fail_if_ended(self) -> None:
        for component, process in self._processes.items():
            if process.poll() is not None:
                said = (self._folder / f"{component}.log").read_text(errors="replace")
                raise RuntimeError(f"{component} has ended. Its last output was:\n{said[-3000:]}")

    def _flags(self, component: str) -> list[str]:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self._etcd, self._etcd_peer))
        return {
            "etcd": [
                f"--data-dir={self._folder / 'etcd'}",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=warn",
                *([] if self._durable else ["--unsafe-no-fsync"]),
            ],
            "kube-apiserver": [
                f"--etcd-servers={client}",
                "--bind-address=127.0.0.1",
                f"--secure-port={self._port}",
                # No client uses it: a loopback address would be refused.
                "--advertise-address=192.0.2.1",
                "--endpoint-reconciler-type=none",
                f"--tls-cert-file={self._folder}/kube-apiserver.crt",
                f"--tls-private-key-file={self._folder}/kube-apiserver.key",
                f"--client-ca-file={self._folder}/ca.crt",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={self._folder}/service-accounts.crt",
                f"--service-account-signing-key-file={self._folder}/service-accounts.key",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--authorization-mode=RBAC",
                *self._audit_flags(),
            ],
            "kube-controller-manager": [
                f"--kubeconfig={self.kubeconfig}",
                f"--service-account-private-key-file={self._folder}/service-accounts.key",
                f"--root-ca-file={self._folder}/ca.crt",
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                f"--secure-port={self._manager}",
                "--kube-api-qps=500",
                "--kube-api-burst=1000",
                # A node whose kubelet stops reporting is detected soon.
                "--node-monitor-period=1s",
                "--node-monitor-grace-period=5s",
            ],
        }[component]

    def _audit_flags(self) -> list[str]:
        if not self._audited:
            return []
        policy = self._folder / "audit-policy.json"
        return [f"--audit-policy-file={policy}", f"--audit-log-path={self.audit_log}"]
