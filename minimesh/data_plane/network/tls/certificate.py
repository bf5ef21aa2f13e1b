"""The fields of an X.509 certificate that access logs, headers and matchers ask for.

Reads DER (X.690) as far as RFC 5280 lays certificates out: tag, length, content, nothing clever. Standard
library modules show certificates only to those who verified them, and neither serial numbers of local ones
nor public keys. Pure; whether a certificate is valid is OpenSSL's business.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_SEQUENCE, _SET, _OID, _INTEGER, _UTC_TIME = 0x30, 0x31, 0x06, 0x02, 0x17
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_SUBJECT_ALT_NAME = "2.5.29.17"
_EMAIL, _DNS, _URI, _IP = 0x81, 0x82, 0x86, 0x87
_OTHER_NAME = 0xA0
_COMMON_NAME = "2.5.4.3"
#: As OpenSSL abbreviates them; anything else stands as its number.
_SHORT_NAMES = {
    _COMMON_NAME: "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "serialNumber",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "street",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "title",
    "2.5.4.42": "GN",
    "1.2.840.113549.1.9.1": "emailAddress",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
_UTF16_STRING, _UTF32_STRING = 0x1E, 0x1C
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*(.*?)-----END CERTIFICATE-----", re.DOTALL)


class MalformedCertificateError(ValueError):
    """The bytes are no certificate."""


@dataclass(frozen=True)
class Certificate:
    """One certificate. Names stand in RFC 2253 form, last part first; an absent part is empty."""

    der: bytes
    serial_number: str
    """Lower-case hexadecimal, whole bytes."""
    subject: str
    issuer: str
    common_name: str
    not_before: datetime.datetime
    not_after: datetime.datetime
    public_key_der: bytes
    """SubjectPublicKeyInfo."""
    dns_names: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    other_names: tuple[tuple[str, str], ...] = ()
    """Object identifier and text."""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def sha1(self) -> str:
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()

    @cached_property
    def pem(self) -> str:
        text = base64.b64encode(self.der).decode()
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        return f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"

    @property
    def key_type(self) -> str:
        """`RSA`, `EC` or the key's object identifier."""
        info = _Reader(_Reader(self.public_key_der).content(_SEQUENCE))
        oid = _oid(_Reader(info.content(_SEQUENCE)).content(_OID))
        return {"1.2.840.113549.1.1.1": "RSA", "1.2.840.10045.2.1": "EC"}.get(oid, oid)


def certificates_of_pem(text: bytes) -> tuple[Certificate, ...]:
    """All certificates of a PEM file, in order. Raises MalformedCertificateError."""
    found = []
    for block in _PEM.findall(text):
        try:
            der = base64.b64decode(block, validate=False)
        except ValueError as error:
            raise MalformedCertificateError(f"PEM block is no base64: {error}") from None
        found.append(read_certificate(der))
    return tuple(found)


def read_certificate(der: bytes) -> Certificate:
    """Read one certificate. Raises MalformedCertificateError."""
    try:
        return _read(der)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise MalformedCertificateError(f"no certificate: {error}") from None


def _read(der: bytes) -> Certificate:
    fields = _Reader(_Reader(_Reader(der).content(_SEQUENCE)).content(_SEQUENCE))
    if fields.tag == _VERSION:
        fields.content(_VERSION)
    serial = fields.content(_INTEGER).lstrip(b"\0") or b"\0"
    fields.content(_SEQUENCE)  # signature algorithm
    issuer = fields.content(_SEQUENCE)
    validity = _Reader(fields.content(_SEQUENCE))
    begin, end = _time(*validity.next()), _time(*validity.next())
    subject = fields.content(_SEQUENCE)
    public_key = fields.whole(_SEQUENCE)
    names = _Names()
    while fields:
        tag, content = fields.next()
        if tag == _EXTENSIONS:
            names.read(content)
    attributes = list(_attributes(subject))
    return Certificate(
        der=der,
        serial_number=serial.hex(),
        subject=_name_text(attributes),
        issuer=_name_text(list(_attributes(issuer))),
        common_name=next((value for kind, value in reversed(attributes) if kind == _COMMON_NAME), ""),
        not_before=begin,
        not_after=end,
        public_key_der=public_key,
        dns_names=tuple(names.dns),
        uris=tuple(names.uri),
        ip_addresses=tuple(names.ip),
        emails=tuple(names.email),
        other_names=tuple(names.other),
    )


class _Reader:
    """Walks over DER values one after the other; ValueError at anything else."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    @property
    def tag(self) -> int:
        return self._data[self._at]

    def next(self) -> tuple[int, bytes]:
        """Tag and content of the next value."""
        data, at = self._data, self._at
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            size = length & 0x7F
            if not 0 < size <= 4:
                raise ValueError("length of a value")
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        end = at + length
        if end > len(data):
            raise ValueError("value longer than what holds it")
        self._at = end
        return tag, data[at:end]

    def content(self, wanted: int) -> bytes:
        """Content of the next value, which has this tag."""
        tag, content = self.next()
        if tag != wanted:
            raise ValueError(f"tag {tag:#x} in place of {wanted:#x}")
        return content

    def whole(self, wanted: int) -> bytes:
        """The next value with its tag and length."""
        start = self._at
        self.content(wanted)
        return self._data[start : self._at]


class _Names:
    """Subject alternative names, by kind."""

    def __init__(self) -> None:
        self.dns: list[str] = []
        self.uri: list[str] = []
        self.ip: list[str] = []
        self.email: list[str] = []
        self.other: list[tuple[str, str]] = []

    def read(self, extensions: bytes) -> None:
        each = _Reader(_Reader(extensions).content(_SEQUENCE))
        while each:
            extension = _Reader(each.content(_SEQUENCE))
            if _oid(extension.content(_OID)) == _SUBJECT_ALT_NAME:
                *_, (_, value) = _values(extension)
                for tag, content in _values(_Reader(_Reader(value).content(_SEQUENCE))):
                    self._add(tag, content)

    def _add(self, tag: int, content: bytes) -> None:
        if tag == _DNS:
            self.dns.append(content.decode("latin-1"))
        elif tag == _URI:
            self.uri.append(content.decode("latin-1"))
        elif tag == _EMAIL:
            self.email.append(content.decode("latin-1"))
        elif tag == _IP and len(content) in (4, 16):
            self.ip.append(str(ipaddress.ip_address(content)))
        elif tag == _OTHER_NAME:
            parts = _Reader(content)
            kind = _oid(parts.content(_OID))
            text_tag, text = _Reader(parts.content(0xA0)).next()
            self.other.append((kind, _text(text_tag, text)))


def _values(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    while reader:
        yield reader.next()


def _attributes(name: bytes) -> Iterator[tuple[str, str]]:
    """Object identifier and value of each part of a name, in the certificate's order."""
    for _, relative in _values(_Reader(name)):
        for _, attribute in _values(_Reader(relative)):
            parts = _Reader(attribute)
            kind = _oid(parts.content(_OID))
            yield kind, _text(*parts.next())


def _name_text(attributes: list[tuple[str, str]]) -> str:
    """RFC 2253: last part first, special characters escaped."""
    return ",".join(
        f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in reversed(attributes)
    )


def _escaped(value: str) -> str:
    text = re.sub(r'([,+"\\<>;])', r"\\\1", value)
    if text[:1] in ("#", " "):
        text = f"\\{text}"
    return f"{text[:-1]}\\ " if len(value) > 1 and value.endswith(" ") else text


def _text(tag: int, content: bytes) -> str:
    if tag == _UTF16_STRING:
        return content.decode("utf-16-be", "replace")
    if tag == _UTF32_STRING:
        return content.decode("utf-32-be", "replace")
    return content.decode("utf-8", "replace")


def _oid(content: bytes) -> str:
    numbers: list[int] = []
    value = 0
    for byte in content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first, *others = numbers or [0]
    root = min(first // 40, 2)
    return ".".join(map(str, (root, first - 40 * root, *others)))


def _time(tag: int, content: bytes) -> datetime.datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of a year stand for 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=datetime.UTC)
