# SPDX-License-Identifier: Apache-2.0
"""The API server's URL and the administrator's credentials, from a kubeconfig."""

import base64
import ssl
import tempfile
from pathlib import Path

import yaml


def server_of(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """The same URL for a client without a certificate."""
    server, authority = server_and_authority_of(kubeconfig)
    return server, ssl.create_default_context(cadata=authority)


def server_and_authority_of(kubeconfig: Path) -> tuple[str, str]:
    """The URL, and the CA certificate for it, as PEM."""
    cluster = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]
    if "certificate-authority" in cluster:
        return cluster["server"], Path(cluster["certificate-authority"]).read_text()
    return cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode()


def access_of(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    """For clients that are not kubectl."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    user = document["users"][0]["user"]
    with tempfile.TemporaryDirectory() as folder:

        def file_of(holder: dict[str, str], name: str) -> str:
            if name in holder:
                return holder[name]
            file = Path(folder) / f"{name}.pem"
            file.write_bytes(base64.b64decode(holder[f"{name}-data"]))
            return str(file)

        credentials = ssl.create_default_context(cafile=file_of(cluster, "certificate-authority"))
        credentials.load_cert_chain(
            file_of(user, "client-certificate"), file_of(user, "client-key")
        )
    return cluster["server"], credentials
