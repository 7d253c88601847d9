# SPDX-License-Identifier: Apache-2.0
"""Every file that a component reads: certificates, kubeconfigs, configuration."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from testbed.addresses import API_PORT, API_SERVICE, NODE, NODE_ADDRESS, PODS_OF_NODE
from testbed.certificates import ADMIN, Identity, issue, write_kubeconfig
from testbed.folder import Folder
from testbed.images import PAUSE_IMAGE

_API = f"https://127.0.0.1:{API_PORT}"
"""The API server's URL, for components on the same host."""

_CLIENTS = {
    ADMIN: Identity(file=ADMIN, user="admin", group="system:masters"),
    "kubelet": Identity(
        file="kubelet",
        user=f"system:node:{NODE}",
        group="system:nodes",
        addresses=(NODE_ADDRESS, NODE),
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
            *("127.0.0.1", NODE_ADDRESS, API_SERVICE, "localhost", "kubernetes"),
            *("kubernetes.default", "kubernetes.default.svc"),
        ),
    ),
    Identity(file="front-proxy", user="front-proxy"),
    Identity(file="service-accounts", user="service-accounts"),
)


def write(folder: Folder) -> None:
    """Writes every file that a component reads."""
    issue(folder.pki, (*_CLIENTS.values(), *_SERVERS))
    for name in _CLIENTS:
        write_kubeconfig(
            folder.kubeconfig_of(name), server=_API, certificates=folder.pki, file=name
        )
    (folder.object_store / "data").mkdir(parents=True)
    _write_json(folder.path / "audit-policy.yaml", _AUDIT_POLICY)
    _write_json(folder.path / "kubelet.yaml", _kubelet_configuration(folder))
    _write_json(folder.path / "cni" / "pods.conflist", _POD_NETWORK)
    (folder.path / "containerd.toml").write_text(_containerd_configuration(folder))
    (folder.path / "Corefile").write_text(_corefile(folder))


def write_host_kubeconfig(folder: Folder, port: int) -> None:
    """Writes the kubeconfig of people and tests, who connect through a forwarder."""
    write_kubeconfig(
        folder.kubeconfig,
        server=f"https://127.0.0.1:{port}",
        certificates=folder.pki,
        file=ADMIN,
    )


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
        "address": NODE_ADDRESS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.cgroup}",
        "failCgroupV1": False,
        "containerRuntimeEndpoint": f"unix://{folder.containerd_socket}",
        "clusterDNS": [NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "/dev/null",
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "podLogsDir": str(folder.path / "kubelet" / "pod-logs"),
        "volumePluginDir": str(folder.path / "kubelet" / "volume-plugins"),
        # The images are shared with the host; collecting them would free nothing.
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
    bind {NODE_ADDRESS}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {folder.kubeconfig_of(ADMIN)} testbed
        pods insecure
    }}
}}
"""


_POD_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            # Not a bridge: a pod's response to a pod that called it through a Service would cross
            # the bridge without passing iptables, and the caller would not recognize the sender.
            "type": "ptp",
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS_OF_NODE}]],
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
    """Writes a file that is read as YAML, of which JSON is a part."""
    path.write_text(json.dumps(content, indent=2) + "\n")
