# SPDX-License-Identifier: Apache-2.0
"""The command line of every component. No process is started here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed import object_store
from testbed.addresses import API_PORT, NODE, NODE_ADDRESS, PODS, SERVICES
from testbed.certificates import ADMIN
from testbed.folder import Folder
from testbed.requirements import program


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One process of the cluster."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> Path:
        return Path(self.command[0])


def store_settings(folder: Folder) -> object_store.StoreSettings:
    """The settings of the object store next to the cluster."""
    return object_store.StoreSettings.of(folder.object_store, NODE_ADDRESS)


def all_components(folder: Folder, programs: Mapping[str, Path]) -> dict[str, Component]:
    """Every component of a cluster by name, in the order in which they start."""
    store = store_settings(folder)
    commands: dict[str, tuple[str | Path, ...]] = {
        "etcd": (programs["etcd"], *_etcd(folder)),
        "containerd": (program("containerd"), "--config", folder.path / "containerd.toml"),
        "kube-apiserver": (programs["kube-apiserver"], *_api_server(folder)),
        "object-store": tuple(store.command),
        "kube-controller-manager": (
            programs["kube-controller-manager"],
            *_controller_manager(folder),
        ),
        "kube-scheduler": (programs["kube-scheduler"], *_scheduler(folder)),
        "kube-proxy": (programs["kube-proxy"], *_proxy(folder)),
        "kubelet": (programs["kubelet"], *_kubelet(folder)),
        "coredns": (programs["coredns"], "-conf", folder.path / "Corefile"),
    }
    environments = {"object-store": store.environment}
    return {
        name: Component(name=name, command=command, environment=environments.get(name, {}))
        for name, command in commands.items()
    }


def _etcd(folder: Folder) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        f"--data-dir={folder.path / 'etcd'}",
        # A cluster that dies with its machine needs no crash safety.
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--log-level=warn",
    ]


def _api_server(folder: Folder) -> list[str]:
    pki = folder.pki
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        f"--advertise-address={NODE_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.crt",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Webhooks reach their pods directly: no kube-proxy is in front of the API server.
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--kubelet-client-certificate={pki}/{ADMIN}.crt",
        f"--kubelet-client-key={pki}/{ADMIN}.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        # Logs are read from the kubelet by address: nothing resolves the node's name.
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder.path / 'audit-policy.yaml'}",
        f"--audit-log-path={folder.audit_log}",
    ]


def _controller_manager(folder: Folder) -> list[str]:
    pki = folder.pki
    return [
        f"--kubeconfig={folder.kubeconfig_of('kube-controller-manager')}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--leader-elect=false",
        "--allocate-node-cidrs",
        f"--cluster-cidr={PODS}",
        # Each controller requests a separate identity; the default would spread that over 4 s.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # How soon a node that has become ready gets pods; by default 5 s.
        "--node-monitor-period=0.5s",
        "--bind-address=127.0.0.1",
    ]


def _scheduler(folder: Folder) -> list[str]:
    return [
        f"--kubeconfig={folder.kubeconfig_of('kube-scheduler')}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _proxy(folder: Folder) -> list[str]:
    return [
        f"--kubeconfig={folder.kubeconfig_of('kube-proxy')}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={PODS}",
        f"--hostname-override={NODE}",
        # Zero does not change the host's connection tracking limits.
        "--conntrack-max-per-core=0",
    ]


def _kubelet(folder: Folder) -> list[str]:
    return [
        f"--config={folder.path / 'kubelet.yaml'}",
        f"--kubeconfig={folder.kubeconfig_of('kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_ADDRESS}",
    ]
