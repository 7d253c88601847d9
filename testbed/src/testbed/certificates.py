# SPDX-License-Identifier: Apache-2.0
"""Who everyone is: one certificate authority per cluster, and a certificate for each part."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

ADMIN = "admin"
"""The file and user with every right."""

_ORGANIZATION = "finetune-operator testbed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a certificate says: Kubernetes reads the user from it, and the user's group."""

    file: str
    user: str
    group: str | None = None
    addresses: tuple[str, ...] = ("client.invalid",)
    """The names and IP addresses a server answers to. Go refuses a certificate without any."""


def issue(folder: Path, identities: tuple[Identity, ...]) -> None:
    """Write ca.crt, ca.key, and <file>.crt, <file>.key of each identity."""
    # Here, because its import takes longer than all else that a `testbed kubectl` does.
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
    """Write a kubeconfig (JSON, which is YAML too) that needs no other file."""

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
