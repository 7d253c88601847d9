# SPDX-License-Identifier: Apache-2.0
import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from finetune_operator.webhook.certificates.x509 import KeyPair, make_self_signed
from finetune_operator.webhook.registration import Webhook, build_source, build_webhook
from finetune_operator.webhook.server import WebhookServer, build_webhook_app
from support.factories import NOW, SETTINGS, seconds
from support.fake_api import FakeApi

KEYS = make_self_signed("replica-0", ("x.svc",), now=NOW, validity=timedelta(days=1))


class Script:
    """A source that returns one result after another, and then never again."""

    def __init__(self, *answers: KeyPair | Exception | None) -> None:
        self._answers = list(answers)
        self.is_over = asyncio.Event()

    async def refresh(self) -> KeyPair | None:
        if not self._answers:
            self.is_over.set()
            await asyncio.Event().wait()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def is_settled_after(*answers: KeyPair | Exception | None) -> bool:
    async def scene() -> bool:
        source = Script(*answers)
        server = WebhookServer(build_webhook_app(SETTINGS), "127.0.0.1", 0)
        webhook = Webhook(source, server, seconds(0))
        running = asyncio.create_task(webhook.run())
        await source.is_over.wait()
        running.cancel()
        await asyncio.wait([running])
        return webhook.is_settled

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "is_settled"),
    [
        pytest.param(KEYS, True, id="with a certificate that is trusted"),
        pytest.param(None, True, id="where the webhook is not installed"),
        pytest.param(OSError("no answer"), False, id="not yet while the API server is silent"),
    ],
)
def test_a_replica_becomes_ready(answer: KeyPair | Exception | None, is_settled: bool) -> None:
    assert is_settled_after(answer) is is_settled


def test_an_error_is_retried_until_it_succeeds() -> None:
    assert is_settled_after(OSError("no answer"), OSError("no answer"), KEYS)


def test_a_later_error_does_not_revoke_readiness() -> None:
    assert is_settled_after(KEYS, OSError("no answer"))


def test_outside_a_cluster_no_webhook_is_registered() -> None:
    settings = replace(SETTINGS, webhook_port=None)

    assert build_webhook(settings, FakeApi(), lambda: NOW) is None


def test_a_mounted_certificate_needs_no_request_to_the_api_server(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_bytes(KEYS.certificates)
    (tmp_path / "tls.key").write_bytes(KEYS.private_key)
    api = FakeApi()
    settings = replace(
        SETTINGS,
        webhook_certificates=str(tmp_path),
    )
    source = build_source(settings, api, lambda: NOW)

    assert asyncio.run(source.refresh()) == KEYS
    assert api.calls == []
