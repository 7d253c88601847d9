# SPDX-License-Identifier: Apache-2.0
"""Identities of the components: one certificate authority per cluster, and a certificate for each
part.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

ADMIN = "admin"
"""The file and user with all permissions."""

_ORGANIZATION = "finetune-operator testbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The content of a certificate: Kubernetes reads the user from it, and the user's group."""

    file: str
    user: str
    group: str | None = None
    addresses: tuple[str, ...] = ("client.invalid",)
    """The names and IP addresses of a server. Go refuses a certificate without any."""


def issue(folder: Path, identities: tuple[Identity, ...]) -> None:
    """Writes ca.crt, ca.key, and <file>.crt, <file>.key of each identity."""
    # Imported here, because it takes longer than everything else in a `testbed kubectl`.
    import trustme

    authority = trustme.CA(organization_name=_ORGANIZATION)
    authority.cert_pem.write_to_path(folder / "ca.crt")
    authority.private_key_pem.write_to_path(folder / "ca.key")
    for identity in identities:
        leaf = authority.issue_cert(
            *identity.addresses, common_name=identity.user, organization_name=identity.group
        )
        leaf.cert_chain_pems[0].write_to_path(folder / f"{identity.file}.crt")
        leaf.private_key_pem.write_to_path(folder / f"{identity.file}.key")


def write_kubeconfig(path: Path, *, server: str, certificates: Path, file: str) -> None:
    """Writes a kubeconfig (JSON, which is YAML too) that needs no other file."""

    def embedded(name: str) -> str:
        return base64.b64encode((certificates / name).read_bytes()).decode()

    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "testbed",
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": file}}],
        "clusters": [
            {
                "name": "testbed",
                "cluster": {"server": server, "certificate-authority-data": embedded("ca.crt")},
            }
        ],
        "users": [
            {
                "name": file,
                "user": {
                    "client-certificate-data": embedded(f"{file}.crt"),
                    "client-key-data": embedded(f"{file}.key"),
                },
            }
        ],
    }
    path.write_text(json.dumps(kubeconfig, indent=2) + "\n")
    path.chmod(0o600)
