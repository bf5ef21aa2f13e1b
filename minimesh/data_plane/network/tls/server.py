"""The downstream side of TLS: which certificate a hello gets, and who has shaken hands.

A `ServerTls` belongs to a filter chain. Its contexts are replaced whole when a secret changes: handshakes
from then on use the new ones, connections that are there keep what they have.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

from minimesh.data_plane.network.tls.certificate import (
    Certificate,
    MalformedCertificateError,
    certificates_of_pem,
    read_certificate,
)
from minimesh.data_plane.network.tls.contexts import server_context
from minimesh.data_plane.network.tls.settings import KeyPair, ServerSettings, TlsSettingsError, Validation


class TlsConnection(NamedTuple):
    """What a handshake has shown."""

    facts: dict[str, str]
    """For the access log, by operator name without DOWNSTREAM_ (`TLS_VERSION`)."""
    local: Certificate
    peer: Certificate | None
    """None when the client showed no certificate; otherwise it was verified."""
    connection: ssl.SSLObject

    def peer_chain_pem(self) -> str:
        """All certificates that the client sent, PEM."""
        unverified = getattr(self.connection, "get_unverified_chain", None)
        if unverified is not None:  # Python 3.13
            return "".join(read_certificate(der).pem for der in unverified())
        inner = getattr(self.connection, "_sslobj", None)
        found = inner.get_unverified_chain() if inner is not None else None
        if found is None:
            return self.peer.pem if self.peer is not None else ""
        return "".join(each.public_bytes() for each in found)


class PreparedContext(NamedTuple):
    """A context and the certificate it shows (the first, where there is one for each type of key)."""

    context: ssl.SSLContext
    certificates: tuple[Certificate, ...]


class ServerTls:
    """See the module. Until `prepare` was called it has no secrets, and takes no connection."""

    __slots__ = (
        "__weakref__", "_by_name", "_unknown", "_unnamed", "_validation", "settings",
    )  # fmt: skip

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings
        self._by_name: dict[str, PreparedContext] = {}
        self._unknown: PreparedContext | None = None
        self._unnamed: PreparedContext | None = None
        self._validation: Validation | None = None

    @property
    def ready(self) -> bool:
        """Whether all secrets are there."""
        return self._unnamed is not None

    @property
    def needs_server_name(self) -> bool:
        """Whether the server name has a part in the choice of a certificate."""
        return bool(self._by_name)

    @property
    def validation(self) -> Validation | None:
        """What is asked of clients."""
        return self._validation

    def prepare(self, key_pairs: Sequence[KeyPair], validation: Validation | None) -> None:
        """Take over secrets. Raises TlsSettingsError; what was there stays in force then."""
        entries = [(key_pair, _leaf(key_pair)) for key_pair in key_pairs]
        if not entries:
            raise TlsSettingsError("Server TlsCertificates must have a certificate specified")
        made: dict[tuple[int, ...], PreparedContext] = {}

        def context_of(chosen: Iterable[int]) -> PreparedContext:
            """The context that shows the first of these for each type of key."""
            key = tuple(_one_of_each_type(chosen, entries))
            if key not in made:
                pairs = [entries[index][0] for index in key]
                made[key] = PreparedContext(
                    server_context(self.settings, pairs, validation),
                    tuple(entries[index][1] for index in key),
                )
            return made[key]

        everything = range(len(entries))
        by_name = {}
        if len(entries) > 1:
            by_name = {name: context_of(indexes) for name, indexes in _by_name(entries).items()}
        unnamed = context_of(everything)
        full_scan = self.settings.full_scan_certs_on_sni_mismatch
        self._unknown = unnamed if full_scan else context_of([0])
        self._by_name, self._unnamed, self._validation = by_name, unnamed, validation

    def context_for(self, server_name: str) -> PreparedContext | None:
        """The context for a hello; None while secrets are missing."""
        if not server_name or not self._by_name:
            return self._unnamed
        found = self._by_name.get(server_name)
        if found is None:
            found = self._by_name.get(f"*.{server_name.partition('.')[2]}")
        return found or self._unknown


def describe_connection(connection: ssl.SSLObject, shown: Sequence[Certificate]) -> TlsConnection:
    """What a completed handshake has shown; `shown` are the certificates that could be presented."""
    cipher = connection.cipher()
    cipher_name = cipher[0] if cipher else ""
    local = _presented(shown, cipher_name)
    der = connection.getpeercert(binary_form=True)
    facts = dict(_facts(local, "LOCAL"))
    facts["TLS_VERSION"] = connection.version() or ""
    facts["TLS_CIPHER"] = cipher_name
    if der is None:
        return TlsConnection(facts, local, None, connection)
    peer = _peer_certificate(der)
    facts.update(_peer_facts(peer))
    return TlsConnection(facts, local, peer, connection)


def _presented(shown: Sequence[Certificate], cipher_name: str) -> Certificate:
    if len(shown) > 1 and "-RSA-" in cipher_name:
        return next((each for each in shown if each.key_type == "RSA"), shown[0])
    return next((each for each in shown if each.key_type == "EC"), shown[0])


@lru_cache(maxsize=256)
def _peer_certificate(der: bytes) -> Certificate:
    """Clients come again: their certificates are read once."""
    return read_certificate(der)


@lru_cache(maxsize=256)
def _peer_facts(certificate: Certificate) -> dict[str, str]:
    facts = {
        **_facts(certificate, "PEER"),
        "PEER_FINGERPRINT_256": certificate.sha256,
        "PEER_FINGERPRINT_1": certificate.sha1,
        "PEER_SERIAL": certificate.serial_number,
        "PEER_ISSUER": certificate.issuer,
        "PEER_CERT": quote(certificate.pem, safe=""),
        "PEER_CERT_V_START": certificate.not_before.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "PEER_CERT_V_END": certificate.not_after.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    }
    return {name: value for name, value in facts.items() if value}


@lru_cache(maxsize=256)
def _facts(certificate: Certificate, side: str) -> dict[str, str]:
    facts = {
        f"{side}_SUBJECT": certificate.subject,
        f"{side}_DNS_SAN": ",".join(certificate.dns_names),
        f"{side}_URI_SAN": ",".join(certificate.uris),
        f"{side}_IP_SAN": ",".join(certificate.ip_addresses),
        f"{side}_EMAIL_SAN": ",".join(certificate.emails),
        f"{side}_OTHERNAME_SAN": ",".join(text for _, text in certificate.other_names),
    }
    return {name: value for name, value in facts.items() if value}


# --- which certificate for which name --------------------------------------------------------------


def _leaf(key_pair: KeyPair) -> Certificate:
    try:
        chain = certificates_of_pem(key_pair.chain_pem)
    except MalformedCertificateError as error:
        raise TlsSettingsError(f"certificate_chain cannot be read: {error}") from None
    if not chain:
        raise TlsSettingsError("certificate_chain holds no certificate")
    return chain[0]


def _by_name(entries: Sequence[tuple[KeyPair, Certificate]]) -> dict[str, list[int]]:
    """The certificates for each name; the common name counts where there are no DNS names."""
    found: dict[str, list[int]] = {}
    for index, (_, certificate) in enumerate(entries):
        for name in certificate.dns_names or (certificate.common_name,):
            if name:
                found.setdefault(name.lower(), []).append(index)
    return found


def _one_of_each_type(
    indexes: Iterable[int], entries: Sequence[tuple[KeyPair, Certificate]]
) -> Iterable[int]:
    types = set()
    for index in indexes:
        key_type = entries[index][1].key_type
        if key_type not in types:
            types.add(key_type)
            yield index
