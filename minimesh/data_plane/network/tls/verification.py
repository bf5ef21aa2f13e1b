"""What Envoy checks of a peer's certificate beyond the chain that OpenSSL has verified: names and hashes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from minimesh.data_plane.network.tls.certificate import Certificate
from minimesh.data_plane.network.tls.settings import SanKind, SanMatcher, Validation


class FailedCheck(Enum):
    """Which check it was; the value is the counter's name."""

    SAN = "fail_verify_san"
    HASH = "fail_verify_cert_hash"


class Refused(NamedTuple):
    """A certificate that is not accepted."""

    check: FailedCheck
    details: str
    """In Envoy's words."""


def refusal_of(certificate: Certificate, validation: Validation) -> Refused | None:
    """Why a certificate is not accepted; None: it is."""
    matchers = validation.san_matchers
    if matchers and not any(_covers(certificate, matcher) for matcher in matchers):
        names = ", ".join(_all_names(certificate))
        return Refused(FailedCheck.SAN, f"SAN matcher, certificate SANs are [{names}]")
    hashes, keys = validation.certificate_hashes, validation.public_key_hashes
    if (hashes or keys) and not (
        certificate.sha256 in hashes or (keys and _public_key_hash(certificate) in keys)
    ):
        return Refused(FailedCheck.HASH, "cert hash and spki")
    return None


def is_for_host(certificate: Certificate, name: str) -> bool:
    """Whether the certificate is for this DNS name or IP address."""
    return name in certificate.ip_addresses or any(
        dns_name_covers(pattern, name) for pattern in certificate.dns_names
    )


def dns_name_covers(pattern: str, name: str) -> bool:
    """Whether a DNS name of a certificate, maybe `*.example.com`, stands for a name: one label, no more."""
    pattern, name = pattern.lower(), name.lower()
    if pattern == name:
        return True
    return pattern.startswith("*.") and len(pattern) > 2 and name.partition(".")[2] == pattern[2:]


def _covers(certificate: Certificate, matcher: SanMatcher) -> bool:
    if matcher.kind is SanKind.OTHER_NAME:
        return any(kind == matcher.oid and matcher.test(text) for kind, text in certificate.other_names)
    if matcher.kind is SanKind.DNS and matcher.exact:
        return any(dns_name_covers(name, matcher.exact) for name in certificate.dns_names)
    return any(matcher.test(name) for name in _names(certificate, matcher.kind))


def _names(certificate: Certificate, kind: SanKind) -> Iterable[str]:
    return {
        SanKind.DNS: certificate.dns_names,
        SanKind.URI: certificate.uris,
        SanKind.EMAIL: certificate.emails,
        SanKind.IP_ADDRESS: certificate.ip_addresses,
    }[kind]


def _all_names(certificate: Certificate) -> Iterable[str]:
    yield from certificate.dns_names
    yield from certificate.uris
    yield from certificate.emails
    yield from certificate.ip_addresses


def _public_key_hash(certificate: Certificate) -> str:
    return base64.b64encode(hashlib.sha256(certificate.public_key_der).digest()).decode()
