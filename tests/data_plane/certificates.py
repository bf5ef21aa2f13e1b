"""A certificate authority for tests: certificates made on the spot, in memory and as files.

Keys are elliptic (fast to make) unless a test asks for RSA.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID, NameOID

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_FAR_OFF = datetime.datetime(2099, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: _Key

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode()

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """`name.crt` and `name.key` in a folder."""
        paths = folder / f"{name}.crt", folder / f"{name}.key"
        paths[0].write_text(self.certificate_pem)
        paths[1].write_text(self.key_pem)
        return paths


class Authority:
    """Signs what it is asked to."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name, "")
        self.certificate = self._sign(self._name, self._key, None, _LONG_AGO, _FAR_OFF, authority=True)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self,
        common_name: str,
        *names: str,
        organization: str = "",
        use_rsa: bool = False,
        expired: bool = False,
        serial: int | None = None,
        names_der: bytes = b"",
    ) -> Issued:
        """A certificate; names with `://` are URIs, addresses IP addresses, the others DNS names.

        `names_der`: the extension that holds names, in these bytes.
        """
        key: _Key = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if use_rsa
            else ec.generate_private_key(ec.SECP256R1())
        )
        until = _LONG_AGO + datetime.timedelta(days=1) if expired else _FAR_OFF
        subject = _name(common_name, organization)
        sans = [_general_name(each) for each in names]
        names_extension: x509.ExtensionType | None = x509.SubjectAlternativeName(sans) if sans else None
        if names_der:
            names_extension = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, names_der)
        made = self._sign(subject, key, names_extension, _LONG_AGO, until, authority=False, serial=serial)
        return Issued(made, key)

    def revocation_list(self, *revoked: Issued) -> str:
        """A CRL in PEM."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._name)
            .last_update(_LONG_AGO)
            .next_update(_FAR_OFF)
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(_LONG_AGO).build())
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def _sign(
        self,
        subject: x509.Name,
        key: _Key,
        names: x509.ExtensionType | None,
        begin: datetime.datetime,
        end: datetime.datetime,
        *,
        authority: bool,
        serial: int | None = None,
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        if authority:
            builder = builder.add_extension(_AUTHORITY_USE, critical=True)
        return builder.sign(self._key, hashes.SHA256())


_AUTHORITY_USE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=True,
    crl_sign=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(common_name: str, organization: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(text: str) -> x509.GeneralName:
    if "://" in text:
        return x509.UniformResourceIdentifier(text)
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
