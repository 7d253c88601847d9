# SPDX-License-Identifier: Apache-2.0
"""Replicas with a clock of the test, and an API server in memory."""

import asyncio
import base64
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from finetune_operator.kube.client import ApiError
from finetune_operator.objects.names import WEBHOOK_CONFIGURATIONS
from finetune_operator.webhook.certificates.rotation import Mounted, SelfSigned
from finetune_operator.webhook.certificates.x509 import KeyPair, read_certificates
from support.factories import NOW
from support.fake_api import CONFLICT, FakeApi

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)

CONFIGURATION = {
    "metadata": {"name": "finetune-operator"},
    "webhooks": [{"name": "finetunejobs.finetune.dev", "clientConfig": {}}],
}


class Scene:
    """An API server with the webhook installed, and the time."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.now = NOW
        self.api.put(WEBHOOK_CONFIGURATIONS, CONFIGURATION)

    def replica(self, name: str = "replica-0") -> SelfSigned:
        return SelfSigned(
            self.api,
            replica=name,
            names=("finetune-operator.ops.svc",),
            validity=24 * HOUR,
            now=lambda: self.now,
        )

    def refresh(self, replica: SelfSigned, *, at: datetime | None = None) -> KeyPair | None:
        self.now = at or self.now
        return asyncio.run(replica.refresh())

    def shown(self, replica: SelfSigned, *, at: datetime | None = None) -> KeyPair:
        keys = self.refresh(replica, at=at)
        assert keys is not None
        return keys

    @property
    def trusted(self) -> list[bytes]:
        webhook = self.configuration["webhooks"][0]
        bundle = base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
        return [certificate.pem.encode() for certificate in read_certificates(bundle)]

    @property
    def configuration(self) -> Any:
        return self.api.objects[WEBHOOK_CONFIGURATIONS, "", "finetune-operator"]

    @property
    def writes(self) -> int:
        return sum(call.startswith("put") for call in self.api.calls)


def test_a_certificate_is_trusted_before_it_is_served() -> None:
    scene = Scene()

    keys = scene.shown(scene.replica())

    assert scene.trusted == [keys.certificates]


def test_nothing_is_written_while_the_certificate_is_valid() -> None:
    scene = Scene()
    replica = scene.replica()

    shown = {scene.shown(replica, at=NOW + n * HOUR).certificates for n in range(12)}

    assert len(shown) == 1
    assert scene.writes == 1


def test_the_next_certificate_is_trusted_for_an_hour_before_it_is_served() -> None:
    scene = Scene()
    replica = scene.replica()
    first = scene.shown(replica)

    at_half = scene.shown(replica, at=NOW + 12 * HOUR)
    trusted_at_half = scene.trusted
    soon_after = scene.shown(replica, at=NOW + 12 * HOUR + 59 * MINUTE)
    later = scene.shown(replica, at=NOW + 13 * HOUR)

    assert at_half == soon_after == first
    assert later != first
    assert trusted_at_half == scene.trusted == [first.certificates, later.certificates]


def test_every_served_certificate_is_trusted_and_valid_across_rotations() -> None:
    scene = Scene()
    replicas = [scene.replica("replica-0"), scene.replica("replica-1")]

    seen = set()
    for step in range(24 * 7 * 3):
        for replica in replicas:
            keys = scene.shown(replica, at=NOW + step * 20 * MINUTE)
            (certificate,) = read_certificates(keys.certificates)
            assert keys.certificates in scene.trusted
            assert certificate.valid_from < scene.now < certificate.valid_until - 10 * HOUR
            seen.add(keys.certificates)

    assert len(seen) == 2 * 14
    assert len(scene.trusted) <= 2 * 2


def test_replicas_that_start_at_the_same_time_are_all_trusted() -> None:
    scene = Scene()
    replicas = [scene.replica(f"replica-{number}") for number in range(5)]

    async def come() -> list[KeyPair | None]:
        return await asyncio.gather(*(replica.refresh() for replica in replicas))

    shown = asyncio.run(come())

    assert sorted(scene.trusted) == sorted(keys.certificates for keys in shown if keys is not None)
    assert len(scene.trusted) == 5


def test_a_restarted_replica_removes_its_former_certificate() -> None:
    scene = Scene()
    other = scene.shown(scene.replica("replica-1"))
    scene.shown(scene.replica())

    restarted = scene.shown(scene.replica(), at=NOW + HOUR)

    assert scene.trusted == [other.certificates, restarted.certificates]


def test_an_emptied_bundle_is_filled_again() -> None:
    scene = Scene()
    replica = scene.replica()
    scene.shown(replica)
    scene.api.put(WEBHOOK_CONFIGURATIONS, CONFIGURATION)

    keys = scene.shown(replica, at=NOW + MINUTE)

    assert scene.trusted == [keys.certificates]


def test_a_coming_certificate_that_was_removed_has_to_wait_again() -> None:
    scene = Scene()
    replica = scene.replica()
    first = scene.shown(replica)
    before = dict(scene.configuration)
    scene.shown(replica, at=NOW + 12 * HOUR)
    scene.api.put(WEBHOOK_CONFIGURATIONS, before)

    assert scene.shown(replica, at=NOW + 13 * HOUR) == first
    assert scene.shown(replica, at=NOW + 14 * HOUR) != first


def test_a_replica_paused_beyond_its_certificates_end_makes_another_at_once() -> None:
    scene = Scene()
    replica = scene.replica()
    first = scene.shown(replica)

    second = scene.shown(replica, at=NOW + 48 * HOUR)

    assert second != first
    assert scene.trusted == [second.certificates]


@pytest.mark.parametrize("status", [403, 404], ids=["no right to it", "not there"])
def test_a_webhook_configuration_that_is_missing_is_requested_again(status: int) -> None:
    scene = Scene()
    replica = scene.replica()
    scene.api.fail_with = ApiError(status, "", "")

    missing = scene.refresh(replica)
    scene.api.fail_with = None
    installed = scene.refresh(replica)

    assert missing is None
    assert installed is not None
    assert scene.trusted == [installed.certificates]


@pytest.mark.parametrize(
    "error", [CONFLICT, ApiError(500, "", ""), OSError()], ids=["conflict", "server", "network"]
)
def test_an_error_changes_no_certificate_and_is_not_hidden(error: Exception) -> None:
    scene = Scene()
    replica = scene.replica()
    scene.api.fail_with = error

    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is; the next try is the claim
        scene.refresh(replica)
    scene.api.fail_with = None

    assert scene.trusted == []
    assert [scene.shown(replica).certificates] == scene.trusted


def test_a_mounted_certificate_is_read_again_each_time(tmp_path: Path) -> None:
    source = Mounted(tmp_path)
    shown = []
    for text in (b"first", b"second"):
        (tmp_path / "tls.crt").write_bytes(text)
        (tmp_path / "tls.key").write_bytes(text + b" key")
        shown.append(asyncio.run(source.refresh()))

    assert [keys.certificates for keys in shown] == [b"first", b"second"]
    assert [keys.private_key for keys in shown] == [b"first key", b"second key"]
