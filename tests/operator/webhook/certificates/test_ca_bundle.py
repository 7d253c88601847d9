# SPDX-License-Identifier: Apache-2.0
import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from finetune_operator.webhook.certificates.ca_bundle import MAX_CERTIFICATES, trusts, with_trusted
from finetune_operator.webhook.certificates.x509 import (
    Certificate,
    make_self_signed,
    read_certificates,
)
from support.factories import NOW

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def a_certificate(holder: str = "replica-0", *, made: datetime = NOW) -> Certificate:
    keys = make_self_signed(holder, ("x.svc",), now=made, validity=DAY)
    return read_certificates(keys.certificates)[0]


def a_configuration(*trusted: Certificate, webhooks: int = 1) -> dict[str, Any]:
    client: dict[str, Any] = {"service": {"name": "finetune-operator"}}
    if trusted:
        client["caBundle"] = base64.b64encode("".join(c.pem for c in trusted).encode()).decode()
    return {
        "metadata": {"name": "finetune-operator", "resourceVersion": "7"},
        "webhooks": [{"name": str(n), "clientConfig": dict(client)} for n in range(webhooks)],
    }


def holders(configuration: dict[str, Any]) -> list[str]:
    bundle = base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"])
    return [certificate.holder for certificate in read_certificates(bundle)]


def test_a_certificate_is_added_and_everything_else_stays_unchanged() -> None:
    own = a_certificate()
    before = a_configuration(webhooks=2)

    after = with_trusted(before, [own], NOW)

    assert after == a_configuration(own, webhooks=2)
    assert before == a_configuration(webhooks=2)
    assert trusts(after, own)
    assert not trusts(before, own)


def test_a_correct_configuration_is_unchanged() -> None:
    own, other = a_certificate(), a_certificate("replica-1")
    once = with_trusted(a_configuration(other), [own], NOW)

    assert with_trusted(once, [own], NOW) == once
    assert with_trusted(once, [other], NOW) == once


def test_certificates_of_other_replicas_are_kept_until_they_expire() -> None:
    own = a_certificate(made=NOW)
    live = a_certificate("live", made=NOW - 23 * HOUR)
    expired = a_certificate("expired", made=NOW - 24 * HOUR)

    after = with_trusted(a_configuration(expired, live), [own], NOW)

    assert holders(after) == ["live", "replica-0"]


def test_certificates_of_the_same_replica_from_before_its_restart_are_dropped() -> None:
    before, own = a_certificate(made=NOW - HOUR), a_certificate()

    after = with_trusted(a_configuration(before), [own], NOW)

    assert trusts(after, own)
    assert not trusts(after, before)


def test_both_certificates_of_a_renewal_are_trusted() -> None:
    shown, coming = a_certificate(made=NOW - 12 * HOUR), a_certificate()

    after = with_trusted(a_configuration(), [shown, coming], NOW)

    assert trusts(after, shown)
    assert trusts(after, coming)


def test_the_bundle_is_bounded_and_drops_its_oldest_certificates() -> None:
    others = [
        a_certificate(f"pod-{n}", made=NOW - n * timedelta(minutes=1))
        for n in range(MAX_CERTIFICATES + 5)
    ]
    own = a_certificate(made=NOW - 23 * HOUR)

    after = with_trusted(a_configuration(*others), [own], NOW)

    newest = [f"pod-{n}" for n in reversed(range(MAX_CERTIFICATES - 1))]
    assert holders(after) == ["replica-0", *newest]


@pytest.mark.parametrize("bundle", ["!", "Cg==", base64.b64encode(b"rubbish").decode()])
def test_invalid_data_in_the_bundle_are_replaced(bundle: str) -> None:
    own = a_certificate()
    configuration = a_configuration()
    configuration["webhooks"][0]["clientConfig"]["caBundle"] = bundle

    assert not trusts(configuration, own)
    assert with_trusted(configuration, [own], NOW) == a_configuration(own)


def test_a_certificate_must_be_trusted_by_every_webhook() -> None:
    own = a_certificate()
    configuration = a_configuration(own, webhooks=2)
    del configuration["webhooks"][1]["clientConfig"]["caBundle"]

    assert not trusts(configuration, own)
    assert trusts(with_trusted(configuration, [own], NOW), own)


def test_a_configuration_without_webhooks_needs_no_change() -> None:
    configuration: dict[str, Any] = {"metadata": {"name": "finetune-operator"}, "webhooks": []}

    assert with_trusted(configuration, [a_certificate()], NOW) == configuration
