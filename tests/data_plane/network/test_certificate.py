"""The fields of a certificate, read from its bytes."""

from __future__ import annotations

import datetime

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from minimesh.data_plane.network.tls.certificate import (
    MalformedCertificateError,
    certificates_of_pem,
    read_certificate,
)
from minimesh.data_plane.network.tls.verification import dns_name_covers
from tests.data_plane.certificates import Authority

AUTHORITY = Authority()
NAMES = ("a.test", "*.b.test", "spiffe://td/ns/x", "10.1.2.3", "fd00::1")
ISSUED = AUTHORITY.issue("the name", *NAMES, organization="or,g", serial=0x0A0B0C)
DER = ISSUED.certificate.public_bytes(serialization.Encoding.DER)


def test_every_field() -> None:
    found = read_certificate(DER)

    assert found.subject == r"CN=the name,O=or\,g"
    assert found.issuer == "CN=test authority"
    assert found.common_name == "the name"
    assert found.serial_number == "0a0b0c"
    assert found.not_before == datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    assert found.not_after == datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)
    assert found.dns_names == ("a.test", "*.b.test")
    assert found.uris == ("spiffe://td/ns/x",)
    assert found.ip_addresses == ("10.1.2.3", "fd00::1")
    assert found.sha256 == ISSUED.sha256
    assert found.sha1 == ISSUED.certificate.fingerprint(hashes.SHA1()).hex()
    assert found.pem == ISSUED.certificate_pem
    assert found.key_type == "EC"
    assert found.public_key_der == ISSUED.key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_a_certificate_without_names_and_with_an_rsa_key() -> None:
    issued = AUTHORITY.issue("bare", use_rsa=True)
    (found,) = certificates_of_pem(issued.certificate_pem.encode())

    assert found.key_type == "RSA"
    assert found.dns_names == found.uris == found.ip_addresses == ()


def test_a_chain_in_its_order() -> None:
    chain = f"leaf\n{ISSUED.certificate_pem}\n{AUTHORITY.pem}".encode()

    assert [each.common_name for each in certificates_of_pem(chain)] == ["the name", "test authority"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", "plain"),
        ('a+b,"c"<d>;e\\', 'a\\+b\\,\\"c\\"\\<d\\>\\;e\\\\'),
        ("#hash", "\\#hash"),
        (" both ", "\\ both\\ "),
        ("Ünïcode", "Ünïcode"),
    ],
)
def test_special_characters_of_names_are_escaped(name: str, written: str) -> None:
    der = AUTHORITY.issue(name).certificate.public_bytes(serialization.Encoding.DER)

    assert read_certificate(der).subject == f"CN={written}"


@settings(max_examples=300)
@given(st.integers(0, len(DER) - 1), st.binary(min_size=1, max_size=4))
def test_bytes_that_are_changed_are_read_or_refused(at: int, noise: bytes) -> None:
    for broken in (DER[:at], DER[:at] + noise + DER[at + len(noise) :]):
        try:
            read_certificate(broken)
        except MalformedCertificateError:
            continue


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("a.test", "A.TEST", True),
        ("*.a.test", "x.a.test", True),
        ("*.a.test", "y.x.a.test", False),
        ("*.a.test", "a.test", False),
        ("*", "a", False),
        ("x*.a.test", "xy.a.test", False),
    ],
)
def test_a_wildcard_stands_for_one_label(pattern: str, name: str, covered: bool) -> None:
    assert dns_name_covers(pattern, name) is covered
