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


def test_certificate_says_whose_it_is_and_how_long_it_holds() -> None:
    (certificate,) = read_certificates(make().certificates)

    assert certificate.holder == "replica-0"
    assert certificate.valid_from == NOW - CLOCK_SKEW
    assert certificate.valid_until == NOW + DAY


def test_certificate_is_good_for_the_service_and_can_sign_no_other() -> None:
    certificate = x509.load_pem_x509_certificate(make().certificates)
    extensions = certificate.extensions

    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert tuple(names.get_values_for_type(x509.DNSName)) == NAMES
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_every_key_is_another() -> None:
    assert make().private_key != make().private_key


def test_key_is_in_no_log() -> None:
    keys = make()

    assert "PRIVATE KEY" not in repr(keys)
    assert b"PRIVATE KEY" in keys.private_key


def test_pod_whose_name_is_too_long_for_a_certificate_is_known_by_its_end() -> None:
    (certificate,) = read_certificates(make("a" * 80 + "-x7k2p").certificates)

    assert len(certificate.holder) == 64
    assert certificate.holder.endswith("a-x7k2p")


def test_bundle_is_read_in_its_order_and_without_what_is_no_certificate() -> None:
    first, second = make("a").certificates, make("b").certificates
    broken = b"-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"

    found = read_certificates(b"# ours\n" + first + broken + b"\n\n" + second + b"rubbish")

    assert [certificate.holder for certificate in found] == ["a", "b"]
    assert found[0].pem.encode() == first
    assert read_certificates(b"") == read_certificates(b"rubbish") == ()
