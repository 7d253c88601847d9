# SPDX-License-Identifier: Apache-2.0
"""Acts as a ServiceAccount: with its token, and only the permissions of its Roles."""

import json
from pathlib import Path

from cluster.api_access import server_and_authority_of
from testbed.control_plane import ControlPlane


def kubeconfig_of_account(
    plane: ControlPlane, folder: Path, *, namespace: str, account: str
) -> Path:
    """A kubeconfig with a token of this account, valid for a day, in an existing directory."""
    token = plane.kubectl("-n", namespace, "create", "token", account, "--duration=24h")
    server, authority = server_and_authority_of(plane.kubeconfig)
    trusted = folder / f"{namespace}-{account}.crt"
    trusted.write_text(authority)
    file = folder / f"{namespace}-{account}.kubeconfig"
    cluster = {"server": server, "certificate-authority": str(trusted)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "plane", "cluster": cluster}],
        "users": [{"name": account, "user": {"token": token.strip()}}],
        "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": account}}],
        "current-context": "plane",
    }
    file.write_text(json.dumps(document))
    return file
