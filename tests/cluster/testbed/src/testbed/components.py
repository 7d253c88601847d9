# SPDX-License-Identifier: Apache-2.0
"""The command line and configuration of every component. No process is started here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import object_store
from testbed.certificates import Identity, issue, write_kubeconfig
from testbed.folder import Folder
from testbed.node import ADDRESS

NODE = "node-0"
API_PORT = 6443
PAUSE_IMAGE = "localhost/pause:1"

_API_INSIDE = f"https://127.0.0.1:{API_PORT}"
_PODS = "10.244.0.0/16"
_PODS_OF_NODE = "10.244.0.0/24"
_SERVICES = "10.96.0.0/16"
_FIRST_SERVICE = "10.96.0.1"
"""The API server's own Service."""

_ADMIN = "admin"
_CLIENTS = {
    _ADMIN: Identity(file=_ADMIN, user="admin", group="system:masters"),
    "kubelet": Identity(
        file="kubelet",
        user=f"system:node:{NODE}",
        group="system:nodes",
        addresses=(ADDRESS, NODE),
    ),
    **{
        name: Identity(file=name, user=f"system:{name}")
        for name in ("kube-controller-manager", "kube-scheduler", "kube-proxy")
    },
}
_SERVERS = (
    Identity(
        file="kube-apiserver",
        user="kube-apiserver",
        addresses=(
            *("127.0.0.1", ADDRESS, _FIRST_SERVICE, "localhost", "kubernetes"),
            *("kubernetes.default", "kubernetes.default.svc"),
        ),
    ),
    Identity(file="front-proxy", user="front-proxy"),
    Identity(file="service-accounts", user="service-accounts"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One process of the cluster."""

    name: str
    command: tuple[str | Path, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> Path:
        return Path(self.command[0])


def store_settings(folder: Folder) -> object_store.Settings:
    """The object store's, beside the cluster."""
    return object_store.Settings.of(folder.object_store, ADDRESS)


def all_components(folder: Folder, programs: Mapping[str, Path]) -> dict[str, Component]:
    """Every component of a cluster by name, in the order in which they start."""
    store = store_settings(folder)
    commands: dict[str, tuple[str | Path, ...]] = {
        "etcd": (programs["etcd"], *_etcd(folder)),
        "containerd": ("/usr/bin/containerd", "--config", folder.path / "containerd.toml"),
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


def write_configuration(folder: Folder) -> None:
    """Write every file that a component reads."""
    issue(folder.pki, (*_CLIENTS.values(), *_SERVERS))
    for name in _CLIENTS:
        write_kubeconfig(
            _kubeconfig(folder, name), server=_API_INSIDE, certificates=folder.pki, file=name
        )
    (folder.object_store / "data").mkdir(parents=True)
    _write_json(folder.path / "audit-policy.yaml", _AUDIT_POLICY)
    _write_json(folder.path / "kubelet.yaml", _kubelet_configuration(folder))
    _write_json(folder.path / "cni" / "pods.conflist", _POD_NETWORK)
    (folder.path / "containerd.toml").write_text(_containerd_configuration(folder))
    (folder.path / "Corefile").write_text(_corefile(folder))


def write_host_kubeconfig(folder: Folder, port: int) -> None:
    """Write the kubeconfig of people and tests, who come through a forwarder."""
    write_kubeconfig(
        folder.kubeconfig,
        server=f"https://127.0.0.1:{port}",
        certificates=folder.pki,
        file=_ADMIN,
    )


def _kubeconfig(folder: Folder, name: str) -> Path:
    return folder.pki / f"{name}.kubeconfig"


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
        f"--advertise-address={ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.crt",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-cluster-ip-range={_SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Webhooks reach their pods directly: no kube-proxy stands before the API server.
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--kubelet-client-certificate={pki}/{_ADMIN}.crt",
        f"--kubelet-client-key={pki}/{_ADMIN}.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        # Logs are read from the kubelet by address: nobody resolves the node's name.
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={folder.path / 'audit-policy.yaml'}",
        f"--audit-log-path={folder.audit_log}",
    ]


def _controller_manager(folder: Folder) -> list[str]:
    pki = folder.pki
    return [
        f"--kubeconfig={_kubeconfig(folder, 'kube-controller-manager')}",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--leader-elect=false",
        "--allocate-node-cidrs",
        f"--cluster-cidr={_PODS}",
        # Each controller asks for an identity of its own; the default would spread that over 4 s.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        # How soon a node that has become ready gets pods; by default 5 s.
        "--node-monitor-period=0.5s",
        "--bind-address=127.0.0.1",
    ]


def _scheduler(folder: Folder) -> list[str]:
    return [
        f"--kubeconfig={_kubeconfig(folder, 'kube-scheduler')}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _proxy(folder: Folder) -> list[str]:
    return [
        f"--kubeconfig={_kubeconfig(folder, 'kube-proxy')}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={_PODS}",
        f"--hostname-override={NODE}",
        # Zero leaves the host's connection tracking limits alone.
        "--conntrack-max-per-core=0",
    ]


def _kubelet(folder: Folder) -> list[str]:
    return [
        f"--config={folder.path / 'kubelet.yaml'}",
        f"--kubeconfig={_kubeconfig(folder, 'kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={ADDRESS}",
    ]


def _kubelet_configuration(folder: Folder) -> dict[str, Any]:
    pki = folder.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet.key",
        "address": ADDRESS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.cgroup}",
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{folder.containerd_socket}",
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "podLogsDir": str(folder.path / "kubelet" / "pod-logs"),
        "volumePluginDir": str(folder.path / "kubelet" / "volume-plugins"),
        # The images are shared with the host; nothing is won by collecting them.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
    }


def _containerd_configuration(folder: Folder) -> str:
    return f"""\
version = 2
root = "{folder.containerd_root}"
state = "/run/containerd"
[grpc]
  address = "{folder.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder.path / "containerd" / "opt"}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc otherwise dies with "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder.path / "cni"}"
"""


def _corefile(folder: Folder) -> str:
    return f"""\
.:53 {{
    bind {ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {_kubeconfig(folder, _ADMIN)} testbed
        pods insecure
    }}
}}
"""


_POD_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            # Not a bridge: a pod's answer to a pod that called it through a Service would cross
            # the bridge without passing iptables, and the caller would not know the sender.
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": _PODS_OF_NODE}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write what is read as YAML, of which JSON is a part."""
    path.write_text(json.dumps(content, indent=2) + "\n")
