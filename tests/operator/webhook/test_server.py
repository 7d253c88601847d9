# SPDX-License-Identifier: Apache-2.0
"""The endpoint over real TLS on 127.0.0.1, called as by the API server."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from finetune_operator.objects.raw import Body
from finetune_operator.webhook import server as server_module
from finetune_operator.webhook.certificates.x509 import KeyPair, make_self_signed
from finetune_operator.webhook.server import (
    MAX_BODY_BYTES,
    PATH,
    WebhookServer,
    answer,
    build_webhook_app,
)
from finetune_spec.job import KnownModel
from support.factories import CONFIG, SETTINGS, a_job_body

NAME = "finetune-operator.finetune-system.svc"


def make(holder: str = "replica-0") -> KeyPair:
    now = datetime.now(UTC)
    return make_self_signed(holder, (NAME,), now=now, validity=timedelta(hours=1))


KEYS, NEXT_KEYS = make(), make()


def a_review(operation: str = "CREATE", **config: Any) -> dict[str, Any]:
    return {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "uid-of-request",
            "kind": {"kind": "FineTuneJob"},
            "operation": operation,
            "namespace": "team",
            "name": "balloon",
            "object": a_job_body(config={**CONFIG, **config}),
        },
    }


class Client:
    """Trusts only these certificates, as the API server does with a bundle."""

    def __init__(self, port: int, *trusted: KeyPair, name: str = NAME) -> None:
        bundle = b"".join(keys.certificates for keys in trusted).decode()
        self._context = ssl.create_default_context(cadata=bundle)
        self._port = port
        self._name = name

    async def post(self, *, path: str = PATH, **given: Any) -> tuple[int, str]:
        url = f"https://127.0.0.1:{self._port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, ssl=self._context, server_hostname=self._name, **given) as got,
        ):
            return got.status, await got.text()

    async def review(self, document: object) -> dict[str, Any]:
        status, text = await self.post(json=document)
        assert status == 200
        answered: dict[str, Any] = json.loads(text)
        return answered


def serve(scene: Callable[[WebhookServer], Awaitable[None]], keys: KeyPair = KEYS) -> None:
    """Runs the scene while a server shows this certificate."""

    async def play() -> None:
        server = WebhookServer(build_webhook_app(SETTINGS), "127.0.0.1", 0)
        try:
            await server.show(keys)
            await scene(server)
        finally:
            await server.stop()

    asyncio.run(play())


def test_an_invalid_config_is_refused_over_tls() -> None:
    async def scene(server: WebhookServer) -> None:
        reviewed = await Client(server.port, KEYS).review(a_review(learning_rte=1))

        assert reviewed["response"]["uid"] == "uid-of-request"
        assert not reviewed["response"]["allowed"]

    serve(scene)


def test_a_valid_config_is_admitted_over_tls() -> None:
    async def scene(server: WebhookServer) -> None:
        reviewed = await Client(server.port, KEYS).review(a_review())

        assert reviewed["response"] == {"uid": "uid-of-request", "allowed": True}

    serve(scene)


def test_clients_without_the_ca_bundle_do_not_trust_the_server() -> None:
    async def scene(server: WebhookServer) -> None:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await Client(server.port, NEXT_KEYS).post(json=a_review())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await Client(server.port, KEYS, name="another.svc").post(json=a_review())

    serve(scene)


def test_the_next_certificate_is_served_without_a_restart() -> None:
    async def scene(server: WebhookServer) -> None:
        port = server.port
        await server.show(NEXT_KEYS)

        assert server.port == port
        await Client(port, NEXT_KEYS).review(a_review())
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await Client(port, KEYS).post(json=a_review())

    serve(scene)


def test_a_closed_connection_no_longer_counts() -> None:
    """All connections of the API server come from one address."""
    reported: list[Any] = []

    async def scene(server: WebhookServer) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reported.append(told))
        for _ in range(10):
            # Each client has a separate connection.
            await Client(server.port, KEYS).review(a_review())

    serve(scene)

    assert reported == []


def test_a_certificate_that_does_not_match_its_key_changes_nothing() -> None:
    torn = KeyPair(certificates=NEXT_KEYS.certificates, private_key=KEYS.private_key)

    async def scene(server: WebhookServer) -> None:
        for keys in (torn, KeyPair(certificates=b"", private_key=b"")):
            with pytest.raises(ssl.SSLError):
                await server.show(keys)

        await Client(server.port, KEYS).review(a_review())

    serve(scene)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        pytest.param({"data": b"hello"}, 400, id="no JSON"),
        pytest.param({"json": {"kind": "Pod"}}, 400, id="no review"),
        pytest.param({"data": b"[" * 100_000}, 400, id="nested beyond reading"),
        pytest.param({"data": b" " * (MAX_BODY_BYTES + 1)}, 413, id="too large"),
        pytest.param({"json": a_review(), "path": "/"}, 404, id="another path"),
    ],
)
def test_a_body_that_is_not_a_review_is_refused_and_the_next_one_answered(
    given: dict[str, Any], status: int
) -> None:
    async def scene(server: WebhookServer) -> None:
        client = Client(server.port, KEYS)

        assert (await client.post(**given))[0] == status
        await client.review(a_review())

    serve(scene)


def test_a_failing_check_admits_the_job_and_reports_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = a_review()["request"]
    del request["object"]["spec"]

    response = asyncio.run(answer(request, SETTINGS))

    assert response["allowed"]
    assert "could not be checked" in response["warnings"][0]
    assert "job not reviewed" in caplog.text


def test_a_refusal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="finetune_operator"):
        asyncio.run(answer(a_review(learning_rte=1)["request"], SETTINGS))

    assert caplog.messages == ["job refused"]


def test_an_error_that_only_the_model_reveals_is_refused_before_the_job_is_stored() -> None:
    async def find(body: Body) -> KnownModel:
        return KnownModel(config={"model_type": "llama", "max_position_embeddings": 512})

    response = asyncio.run(answer(a_review(max_length=1024)["request"], SETTINGS, find))

    assert not response["allowed"]
    assert "512" in response["status"]["message"]


def test_incomplete_bodies_delay_no_review(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "BODY_TIMEOUT_SECONDS", 3600.0)
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode() + b'{"kind'

    async def scene(server: WebhookServer) -> None:
        context = ssl.create_default_context(cadata=KEYS.certificates.decode())
        halves = []
        for number in range(40):
            halves.append(
                await asyncio.open_connection(
                    "127.0.0.1",
                    server.port,
                    ssl=context,
                    server_hostname=NAME,
                    local_addr=(f"127.0.1.{number % 8 + 1}", 0),
                )
            )
            halves[-1][1].write(head)
            await halves[-1][1].drain()

        assert (await Client(server.port, KEYS).review(a_review()))["response"]["allowed"]
        for _, writer in halves:
            writer.transport.abort()

    serve(scene)
