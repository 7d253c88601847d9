# SPDX-License-Identifier: Apache-2.0
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from finetune_operator.webhook.certificates.x509 import (
    CLOCK_SKEW,
    KeyPair,
    make_self_signed,
    read_certificates,
)
from support.factories import NOW

NAMES = ("finetune-operator.ops.svc", "finetune-operator.ops.svc.cluster.local")
DAY = timedelta(days=1)


def make(holder: str = "replica-0") -> KeyPair:
    return make_self_signed(holder, NAMES, now=NOW, validity=DAY)


def test_a_certificate_contains_its_holder_and_validity() -> None:
    (certificate,) = read_certificates(make().certificates)

    assert certificate.holder == "replica-0"
    assert certificate.valid_from == NOW - CLOCK_SKEW
    assert certificate.valid_until == NOW + DAY


def test_a_certificate_is_valid_for_the_service_and_cannot_sign_others() -> None:
    certificate = x509.load_pem_x509_certificate(make().certificates)
    extensions = certificate.extensions

    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_every_key_is_different() -> None:
    assert make().private_key != make().private_key


def test_the_key_does_not_appear_in_logs() -> None:
    keys = make()

    assert "PRIVATE KEY" not in repr(keys)
    assert b"PRIVATE KEY" in keys.private_key


def test_a_pod_name_too_long_for_a_certificate_is_shortened_to_its_end() -> None:
    (certificate,) = read_certificates(make("a" * 80 + "-x7k2p").certificates)

    assert len(certificate.holder) == 64
    assert certificate.holder.endswith("a-x7k2p")


def test_a_bundle_is_read_in_order_without_invalid_parts() -> None:
    first, second = make("a").certificates, make("b").certificates
    broken = b"-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"

    found = read_certificates(b"# ours\n" + first + broken + b"\n\n" + second + b"rubbish")

    assert [certificate.holder for certificate in found] == ["a", "b"]
    assert found[0].pem.encode() == first
    assert read_certificates(b"") == read_certificates(b"rubbish") == ()
