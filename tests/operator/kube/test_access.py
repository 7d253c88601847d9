# SPDX-License-Identifier: Apache-2.0
"""Access to the API server: directly, through a proxy, as a pod or with a kubeconfig."""

import asyncio
import base64
import contextlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from finetune_operator.kube import access
from finetune_operator.kube.access import TOKEN_LASTS_SECONDS, find_proxy, log_in
from finetune_operator.kube.client import KubeApi
from finetune_operator.kube.kubeconfig import read_kubeconfig
from finetune_operator.kube.watch import open_session
from finetune_operator.objects.names import FINETUNE_JOBS
from finetune_operator.webhook.certificates.x509 import make_self_signed
from support.factories import a_job_body
from support.served import a_login, served
from support.watched import Received

NOBODY_LISTENS = "http://127.0.0.1:1"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


TOKEN = {"token": "secret"}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def a_kubeconfig(folder: Path, server: str, user: Any = TOKEN, **cluster: Any) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "somebody", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "somebody"}}],
        "current-context": "here",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return str(path)


def a_certificate(folder: Path) -> ssl.SSLContext:
    keys = make_self_signed(
        "server", ["localhost"], now=datetime.now(UTC), validity=timedelta(hours=1)
    )
    (folder / "tls.crt").write_bytes(keys.certificates)
    (folder / "tls.key").write_bytes(keys.private_key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    return context


class ApiServer:
    """A server with one job that records its clients; also a proxy to one."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        return web.json_response({"metadata": {}, "items": []} | a_job_body())


async def get_job(kubeconfig: str) -> Any:
    api = await KubeApi.connect(kubeconfig)
    try:
        return await api.get(FINETUNE_JOBS, "team", "balloon")
    finally:
        await api.close()


def test_requests_and_watches_use_the_configured_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ApiServer()

    async def scene(proxy: str) -> None:
        monkeypatch.setenv("HTTP_PROXY", proxy)
        kubeconfig = a_kubeconfig(tmp_path, "http://api.invalid")
        job = await get_job(kubeconfig)
        access = (await log_in(kubeconfig)).access
        async with open_session(access, Received()) as session:
            await session.get("http://api.invalid/apis?watch=true")

        assert job["metadata"]["name"] == "balloon"
        for request in server.asked:
            assert request.host == "api.invalid", "the proxy was asked for the server"
            assert request.headers["Authorization"] == "Bearer secret"
        assert len(server.asked) == 2

    asyncio.run(served(server.handle, scene))


def test_a_proxy_receives_the_password_in_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ApiServer()

    async def scene(proxy: str) -> None:
        monkeypatch.setenv("HTTP_PROXY", proxy.replace("//", "//me:word@"))
        await get_job(a_kubeconfig(tmp_path, "http://api.invalid"))

        (request,) = server.asked
        assert request.headers["Proxy-Authorization"] == "Basic bWU6d29yZA=="
        assert request.headers["Authorization"] == "Bearer secret"

    asyncio.run(served(server.handle, scene))


def test_the_kubeconfigs_proxy_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOBODY_LISTENS)
    server = ApiServer()

    async def scene(proxy: str) -> None:
        config = a_kubeconfig(tmp_path, "http://api.invalid", **{"proxy-url": proxy})
        assert await get_job(config)

    asyncio.run(served(server.handle, scene))
    assert len(server.asked) == 1


@pytest.mark.parametrize("listed", ["127.0.0.1", "example.com,127.0.0.1", "*"])
def test_a_server_in_no_proxy_is_contacted_directly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listed: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOBODY_LISTENS)
    monkeypatch.setenv("NO_PROXY", listed)

    async def scene(server: str) -> None:
        assert await get_job(a_kubeconfig(tmp_path, server))

    asyncio.run(served(ApiServer().handle, scene))


def test_an_https_server_is_reached_through_a_tunnel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An HTTPS_PROXY receives CONNECT and cannot read the request."""
    server, tunnels = ApiServer(), Tunnels()

    async def scene(address: str) -> None:
        async with tunnels.served() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy)
            config = a_kubeconfig(tmp_path, address, **{"insecure-skip-tls-verify": True})
            assert await get_job(config)
            assert tunnels.asked == [f"CONNECT {address.removeprefix('https://')} HTTP/1.1"]

            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert await get_job(config)
            assert len(tunnels.asked) == 1, "the second went directly"

    asyncio.run(served(server.handle, scene, a_certificate(tmp_path)))


@pytest.mark.parametrize(
    ("server", "environment", "proxy"),
    [
        ("https://10.0.0.1:443", {}, None),
        ("https://10.0.0.1:443", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://10.0.0.1:443", {"https_proxy": "http://p:3128"}, "http://p:3128"),
        ("https://10.0.0.1:443", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://10.0.0.1:80", {"HTTPS_PROXY": "http://p:3128"}, None),
        ("https://api.example.com", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.com"}, None),
        ("https://api.example.org", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".com"}, "http://p"),
        ("https://[fd00::1]:443", {"HTTPS_PROXY": "http://p", "NO_PROXY": "fd00::1"}, None),
        ("https://10.0.0.1:443", {"HTTPS_PROXY": "https://p"}, None),
        ("https://10.0.0.1:443", {"HTTPS_PROXY": ""}, None),
    ],
)
def test_the_proxy_is_chosen_by_the_server(
    monkeypatch: pytest.MonkeyPatch, server: str, environment: dict[str, str], proxy: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert find_proxy(server) == proxy


def test_no_request_waits_for_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(server: str) -> None:
        api = KubeApi(a_login(server))

        def refuse(*_: Any) -> None:
            raise AssertionError("a thread was asked for")

        # The first request resolves the host.
        await api.get(FINETUNE_JOBS, "team", "balloon")
        monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", refuse)
        for _ in range(3):
            await api.get(FINETUNE_JOBS, "team", "balloon")
        monkeypatch.undo()
        await api.close()

    asyncio.run(served(ApiServer().handle, scene))


def an_account(folder: Path, token: str) -> Path:
    (folder / "token").write_text(f"{token}\n")
    (folder / "ca.crt").write_text("")
    return folder


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_a_pod_authenticates_with_its_account_and_reloads_its_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    clock = [0.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: clock[0])
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "443"}
    login = access.log_in_as_pod(environment, an_account(tmp_path, "first"))
    an_account(tmp_path, "second")

    assert login.access.server == server
    assert login.access.token == "first"
    assert asyncio.run(login.find_token()) == "first", "it is not read for each request"
    clock[0] += TOKEN_LASTS_SECONDS
    assert asyncio.run(login.find_token()) == "second"


def test_outside_a_cluster_the_missing_variable_is_named() -> None:
    with pytest.raises(ValueError, match=r"KUBERNETES_SERVICE_HOST .* set KUBECONFIG"):
        access.log_in_as_pod({}, Path("/nowhere"))


def test_a_pod_without_a_mounted_token_is_told_what_it_needs(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}

    with pytest.raises(ValueError, match=r"ca.crt: No such file .*automountServiceAccountToken"):
        access.log_in_as_pod(environment, tmp_path)


def test_a_certificate_kubeconfig_is_read_as_the_kubernetes_client_reads_it(
    tmp_path: Path,
) -> None:
    """Both the inline values and the files next to the kubeconfig."""
    a_certificate(tmp_path)
    pem = {name: (tmp_path / f"tls.{name}").read_text() for name in ("crt", "key")}
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in pem.items()}
    inside = {"client-certificate-data": encoded["crt"], "client-key-data": encoded["key"]}
    beside = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    for user in (inside, beside, {"token": "secret"}, {}):
        for authority in (
            {"certificate-authority-data": encoded["crt"]},
            {},
            {"extensions": [{"name": "cluster_info", "extension": {"provider": "minikube"}}]},
        ):
            path = a_kubeconfig(tmp_path, "https://api.invalid:6443/", user=user, **authority)

            ours = read_kubeconfig(path)

            assert ours == asyncio.run(access.log_in_by_client(path)).access
            assert ours is not None
            assert ours.ssl_context()
            assert "PRIVATE" not in repr(ours)
            assert "secret" not in repr(ours)


def test_without_the_kubernetes_client_the_message_names_what_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the image."""
    monkeypatch.setitem(sys.modules, "kubernetes.aio", None)
    path = a_kubeconfig(tmp_path, "https://api.invalid:6443/", user={"exec": {"command": "x"}})

    with pytest.raises(ValueError, match=r"certificate or a token: .* finetune-operator\[kubecon"):
        asyncio.run(access.log_in(path))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"user": {"exec": {"command": "x"}}}, id="a command"),
        pytest.param({"user": {"auth-provider": {"name": "oidc"}}}, id="a provider"),
        pytest.param({"user": {"username": "a", "password": "b"}}, id="a password"),
        pytest.param({"user": {"tokenFile": "x"}}, id="a token's file"),
        pytest.param({"user": ["x"]}, id="no mapping"),
        pytest.param({"disable-compression": True}, id="another field of a cluster"),
    ],
)
def test_other_kubeconfigs_are_delegated_to_the_kubernetes_client(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    assert read_kubeconfig(a_kubeconfig(tmp_path, "https://api.invalid", **changed)) is None


def test_a_kubeconfig_without_its_files_is_refused_with_the_missing_one(tmp_path: Path) -> None:
    path = a_kubeconfig(tmp_path, "https://api.invalid", user={"client-certificate": "nowhere"})

    for missing, asked in (("nowhere", path), ("none", str(tmp_path / "none"))):
        with pytest.raises(ValueError, match=f"^{tmp_path / missing}: No such file or directory$"):
            asyncio.run(log_in(asked))


def test_a_kubeconfig_may_be_named_from_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No shell expands the variable of an env file."""
    a_certificate(tmp_path)
    path = a_kubeconfig(tmp_path, "https://api.invalid", **{"certificate-authority": "tls.crt"})
    monkeypatch.setenv("HOME", str(tmp_path))

    assert read_kubeconfig(f"~/{Path(path).name}") == read_kubeconfig(path) is not None


def test_an_invalid_kubeconfig_is_refused_with_the_clients_message(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("contexts: []")

    with pytest.raises(ValueError, match="kube-config"):
        asyncio.run(log_in(str(path)))


def test_an_operator_that_cannot_log_in_says_so_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("contexts: []")
    settings = {"TRAINER_IMAGE": "trainer:1", "KUBECONFIG": str(path)}

    ended = subprocess.run(
        [sys.executable, "-m", "finetune_operator"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 2
    assert ended.stderr.startswith(f"finetune-operator: {path}: Invalid kube-config file.")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


def test_the_operator_starts_without_the_kubernetes_client() -> None:
    """Its import takes as long as all other imports together."""
    loads = "import sys, finetune_operator.__main__; print('kubernetes' in sys.modules)"
    run = [sys.executable, "-c", loads]

    assert subprocess.run(run, check=True, capture_output=True, text=True).stdout == "False\n"


class Tunnels:
    """A proxy that supports only CONNECT."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._tunnel, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.splitlines()[0])
        host, _, port = head.split()[1].rpartition(":")
        inward, outward = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, outward), _pump(inward, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
