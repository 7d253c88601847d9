# SPDX-License-Identifier: Apache-2.0
"""Reads kubeconfigs that contain a certificate or a token; None for all others.

These are typical for new clusters. Every other authentication method (a command, a provider,
several files) is left to the Kubernetes client, which takes a second to import.
"""

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from finetune_operator.kube.access import Access

CLUSTER_FIELDS = frozenset(
    {
        "server",
        "certificate-authority",
        "certificate-authority-data",
        "insecure-skip-tls-verify",
        "tls-server-name",
        "proxy-url",
        # Notes of the program that wrote the file, such as minikube.
        "extensions",
    }
)
USER_FIELDS = frozenset(
    {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token"}
)


def read_kubeconfig(path: str) -> Access | None:
    """The access of its current context; None if it uses other fields or is invalid.

    Raises:
        OSError: the file, or one that it names, cannot be read.
    """
    if os.pathsep in path:
        return None
    try:
        file = Path(path).expanduser()
        config = yaml.safe_load(file.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"]).get("user") or {}
        if not CLUSTER_FIELDS.issuperset(cluster) or not USER_FIELDS.issuperset(user):
            return None
        return _access(cluster, user, file.parent)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return None


def _access(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path) -> Access:
    return Access(
        server=cluster["server"].rstrip("/"),
        ca=_text(cluster, "certificate-authority", folder),
        certificate=_text(user, "client-certificate", folder),
        private_key=_text(user, "client-key", folder),
        token=user.get("token") or None,
        is_insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        server_name=cluster.get("tls-server-name"),
        proxy=cluster.get("proxy-url"),
    )


def _text(fields: Mapping[str, Any], name: str, folder: Path) -> str | None:
    """A PEM text, inline or in a separate file; the inline value takes precedence."""
    if data := fields.get(f"{name}-data"):
        return base64.b64decode(data).decode()
    place = fields.get(name)
    return (folder / place).read_text() if place else None


def _named(entries: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """
    Raises:
        KeyError: there is no entry of this name.
    """
    for entry in entries:
        if entry["name"] == name:
            return entry
    raise KeyError(name)
