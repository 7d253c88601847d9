# SPDX-License-Identifier: Apache-2.0
"""Several releases of the chart on one control plane, each watching separate namespaces."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster import rights
from cluster.accounts import kubeconfig_of_account
from cluster.installation import CHART, REPOSITORY
from cluster.operator_process import OperatorProcess
from cluster.replica import is_served
from cluster.replicas import wait_until
from testbed import helm
from testbed.control_plane import ControlPlane
from testbed.ports import free_ports


@dataclass(frozen=True, kw_only=True)
class Release:
    """One of them: its permissions are Roles in the watched namespaces, and its replica is a
    process here.
    """

    namespace: str
    watched: Sequence[str]
    operator: OperatorProcess
    port: int

    @property
    def account(self) -> str:
        return rights.account_in(self.namespace)

    def wait_until_ready(self) -> None:
        wait_until(lambda: is_served(f"http://127.0.0.1:{self.port}/readyz"), "it is ready")


@contextmanager
def installed(
    plane: ControlPlane, folder: Path, watched: Mapping[str, Sequence[str]]
) -> Iterator[list[Release]]:
    """A release in each of these namespaces, ready; the watched namespaces must exist."""
    plane.kubectl("apply", "--server-side", "-f", REPOSITORY / "crds")
    with ExitStack() as stack:
        found = []
        for namespace, of_it in watched.items():
            release = _install(plane, folder, namespace, of_it)
            stack.callback(release.operator.end)
            release.operator.start()
            found.append(release)
        for release in found:
            release.wait_until_ready()
        yield found


def _install(plane: ControlPlane, folder: Path, namespace: str, watched: Sequence[str]) -> Release:
    plane.kubectl("create", "namespace", namespace)
    rendered = helm.run(
        *("template", "finetune-operator", CHART, "--namespace", namespace),
        *("--set", f"watchNamespaces={{{','.join(watched)}}}", "--set", "crds.install=false"),
    )
    # The replicas are processes here.
    parts = [it for it in yaml.safe_load_all(rendered) if it and it["kind"] != "Deployment"]
    plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(parts))
    kubeconfig = kubeconfig_of_account(plane, folder, namespace=namespace, account=rights.NAME)
    (port,) = free_ports(1)
    environment = {"POD_NAMESPACE": namespace, "WATCH_NAMESPACES": ",".join(watched)}
    operator = OperatorProcess(namespace, kubeconfig, port, folder, environment)
    return Release(namespace=namespace, watched=watched, operator=operator, port=port)
