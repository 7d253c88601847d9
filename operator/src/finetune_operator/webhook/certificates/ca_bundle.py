# SPDX-License-Identifier: Apache-2.0
"""The `caBundle` of a webhook configuration: the certificates that the API server trusts. No I/O
here.

Each replica manages its own certificates and leaves those of the others, so replicas need no
knowledge of each other.
"""

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import datetime

from finetune_operator.objects.raw import Body, Manifest
from finetune_operator.webhook.certificates.x509 import Certificate, read_certificates

MAX_CERTIFICATES = 16
"""Certificates of deleted pods stay until they expire: a failing Deployment creates many."""


def trusts(configuration: Body, certificate: Certificate) -> bool:
    """Whether every webhook of the configuration accepts this certificate."""
    return all(certificate in _trusted(webhook) for webhook in configuration.get("webhooks", ()))


def with_trusted(configuration: Body, own: Sequence[Certificate], now: datetime) -> Manifest:
    """The configuration that trusts these certificates of a replica, and no others of it.

    Expired ones are left out, and the oldest if there are too many; a correct configuration is
    returned unchanged.
    """
    webhooks = [
        {
            **webhook,
            "clientConfig": {
                **webhook["clientConfig"],
                "caBundle": _render(_next_trusted(_trusted(webhook), own, now)),
            },
        }
        for webhook in configuration.get("webhooks", ())
    ]
    return {**configuration, "webhooks": webhooks}


def _next_trusted(
    found: Sequence[Certificate], own: Sequence[Certificate], now: datetime
) -> list[Certificate]:
    holders = {certificate.holder for certificate in own}
    others = {
        certificate
        for certificate in found
        if certificate.holder not in holders and certificate.valid_until > now
    }
    newest = _by_age(others)[-(MAX_CERTIFICATES - len(own)) :]
    # Always in the same order: two replicas must not keep correcting each other.
    return _by_age([*newest, *own])


def _by_age(certificates: Iterable[Certificate]) -> list[Certificate]:
    return sorted(certificates, key=lambda certificate: (certificate.valid_from, certificate.pem))


def _trusted(webhook: Body) -> tuple[Certificate, ...]:
    try:
        pem = base64.b64decode(webhook["clientConfig"].get("caBundle", ""))
    except binascii.Error:
        return ()
    return read_certificates(pem)


def _render(certificates: Sequence[Certificate]) -> str:
    pem = "".join(certificate.pem for certificate in certificates)
    return base64.b64encode(pem.encode()).decode()
