# SPDX-License-Identifier: Apache-2.0
"""Creates and reads the webhook's certificates; the only file that imports cryptography.

No I/O here: no key is ever written anywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)
"""How far the API server's clock may be behind this one's."""

_LONGEST_NAME = 64
"""The limit for a common name (RFC 5280)."""

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The content of a certificate, as far as it is used here."""

    pem: str
    holder: str
    """The common name: for those of this operator, the replica."""
    valid_from: datetime
    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """The proof of a server's identity; both PEM."""

    certificates: bytes
    """The server's own first."""
    private_key: bytes = field(repr=False)


def make_self_signed(
    holder: str, names: Sequence[str], *, now: datetime, validity: timedelta
) -> KeyPair:
    """A new key, and a certificate that is valid for these DNS names only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, shorten(holder))])
    unsigned = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        # Not a CA: trust in it extends to nothing else that this key might sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
    )
    certificate = unsigned.sign(key, hashes.SHA256())
    return KeyPair(
        certificates=certificate.public_bytes(serialization.Encoding.PEM),
        private_key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def read_certificates(pem: bytes) -> tuple[Certificate, ...]:
    """The certificates of a bundle; invalid entries are left out."""
    found = []
    for block in _BLOCK.findall(pem):
        try:
            found.append(_read(x509.load_pem_x509_certificate(block)))
        except ValueError:
            continue
    return tuple(found)


def shorten(holder: str) -> str:
    """The end of a name that is too long: pods of one Deployment differ there."""
    return holder[-_LONGEST_NAME:]


def _read(certificate: x509.Certificate) -> Certificate:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        holder=str(names[0].value) if names else "",
        valid_from=certificate.not_valid_before_utc,
        valid_until=certificate.not_valid_after_utc,
    )
