# SPDX-License-Identifier: Apache-2.0
"""How to reach and authenticate to the API server: the pod's service account, or a kubeconfig.

Read once at the start; only tokens are read again, because they are rotated. The Kubernetes client
takes as long to import as everything else together, and 74 MB in an image. It is used only for
kubeconfigs, because it supports every authentication method that they may name, and it is an extra
of this package that the image does not have.
"""

import os
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The files of the pod's service account."""

TOKEN_LASTS_SECONDS = 60.0
"""The kubelet replaces the file long before the token in it expires."""

FindToken = Callable[[], Awaitable[str | None]]
"""The current token; None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The address and credentials of the API server; the runtime's watches use the same."""

    server: str
    ca: str | None = None
    """PEM, like the other two."""
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    """The token at the start."""
    is_insecure: bool = False
    server_name: str | None = None
    """The name that its certificate is for, if it differs from the one in the address."""
    proxy: str | None = None
    """The proxy to the server."""

    def ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.ca)
        if self.certificate and self.private_key:
            # The SSL module reads these from files only.
            with NamedTemporaryFile("w") as both:
                both.write(f"{self.certificate}\n{self.private_key}\n")
                both.flush()
                context.load_cert_chain(both.name)
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Access, together with the function that keeps its token valid."""

    access: Access
    find_token: FindToken


async def log_in(kubeconfig: str | None) -> Login:
    """Logs in to the cluster of this kubeconfig, or to the one that this pod runs in.

    Raises:
        ValueError: neither exists, or the kubeconfig is invalid or unreadable.
    """
    if kubeconfig is None:
        return log_in_as_pod()
    # Imported late: a pod does not need it.
    from finetune_operator.kube.kubeconfig import read_kubeconfig

    try:
        access = read_kubeconfig(kubeconfig)
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}") from error
    login = await log_in_by_client(kubeconfig) if access is None else _as_it_stands(access)
    proxy = login.access.proxy or find_proxy(login.access.server)
    return replace(login, access=replace(login.access, proxy=proxy))


def find_proxy(server: str) -> str | None:
    """The value of HTTPS_PROXY or HTTP_PROXY for this server, unless NO_PROXY lists its host.

    aiohttp would look it up for every request, in a separate thread.
    """
    address = urlsplit(server)
    if proxy_bypass(address.hostname or ""):
        return None
    proxy = getproxies().get(address.scheme)
    # Other proxies are not supported and are ignored, as aiohttp does.
    return proxy if proxy is not None and urlsplit(proxy).scheme == "http" else None


def log_in_as_pod(environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Login:
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ValueError(
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set (pods have them): "
            "outside a cluster set KUBECONFIG"
        )
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    find_token = _MountedToken(account / "token")
    try:
        ca, token = (account / "ca.crt").read_text(), find_token.read()
    except OSError as error:
        raise ValueError(
            f"{error.filename}: {error.strerror}: the pod needs the token of its service account "
            "(automountServiceAccountToken)"
        ) from error
    access = Access(server=server, ca=ca, token=token, proxy=find_proxy(server))
    return Login(access=access, find_token=find_token)


class _MountedToken:
    """A token in a file that is replaced regularly."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = ""
        self._good_until = float("-inf")

    async def __call__(self) -> str:
        return self.read()

    def read(self) -> str:
        if (now := time.monotonic()) >= self._good_until:
            self._token = self._path.read_text().strip()
            self._good_until = now + TOKEN_LASTS_SECONDS
        return self._token


def _as_it_stands(access: Access) -> Login:
    async def find_token() -> str | None:
        return access.token

    return Login(access=access, find_token=find_token)


async def log_in_by_client(path: str) -> Login:
    """Uses any authentication method of the kubeconfig.

    Raises:
        ValueError: the kubeconfig is invalid (the client's own message), or the client is not
            installed.
    """
    # Imported late: it takes as long to import as everything else together.
    try:
        from kubernetes.aio import client, config
    except ImportError as error:
        raise ValueError(
            f"{path} is not a kubeconfig whose current user has a certificate or a token: write "
            "one with either, or install finetune-operator[kubeconfig] for all other methods"
        ) from error

    # The package's typing is partial: untyped functions count as Any.
    loader: Any = config
    loaded: Any = client.Configuration()
    try:
        await loader.load_kube_config(path, client_configuration=loaded)
    except loader.ConfigException as error:
        raise ValueError(f"{path}: {error}") from error

    async def find_token() -> str | None:
        header = await loaded.get_api_key_with_prefix("BearerToken")
        return header.split(" ", 1)[1] if header else None

    access = Access(
        server=loaded.host,
        ca=_read(loaded.ssl_ca_cert),
        certificate=_read(loaded.cert_file),
        private_key=_read(loaded.key_file),
        token=await find_token(),
        is_insecure=not loaded.verify_ssl,
        server_name=loaded.tls_server_name,
        proxy=loaded.proxy,
    )
    return Login(access=access, find_token=find_token)


def _read(path: str | None) -> str | None:
    return Path(path).read_text() if path else None
