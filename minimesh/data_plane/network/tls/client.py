"""The upstream side of TLS: the server name that is sent, the session taken up again, who the host is."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from minimesh.data_plane.network.tls.certificate import (
    Certificate,
    MalformedCertificateError,
    read_certificate,
)
from minimesh.data_plane.network.tls.contexts import client_context
from minimesh.data_plane.network.tls.failure import verification_failure
from minimesh.data_plane.network.tls.handshake import MeshContext
from minimesh.data_plane.network.tls.handshake_stats import HandshakeStats
from minimesh.data_plane.network.tls.settings import ClientSettings, KeyPair, TlsSettingsError, Validation
from minimesh.data_plane.network.tls.verification import FailedCheck, Refused, is_for_host, refusal_of


class ClientTls:
    """One transport socket of a cluster. Until `prepare` was called it has no secrets."""

    __slots__ = ("__weakref__", "_context", "_key_pairs", "_offering", "_validation", "settings", "stats")

    def __init__(self, settings: ClientSettings, stats: HandshakeStats) -> None:
        self.settings = settings
        self.stats = stats
        self._context: MeshContext | None = None
        self._key_pairs: Sequence[KeyPair] = ()
        #: By the protocols that are offered where configuration names none.
        self._offering: dict[tuple[str, ...], MeshContext] = {}
        self._validation: Validation | None = None

    @property
    def context(self) -> ssl.SSLContext | None:
        """For the next handshake; None while secrets are missing."""
        return self._context

    def context_offering(self, protocols: tuple[str, ...]) -> ssl.SSLContext | None:
        """The same, with what ALPN offers unless configuration says what to offer."""
        if self._context is None or self.settings.alpn_protocols or not protocols:
            return self._context
        made = self._offering.get(protocols)
        if made is None:
            settings = replace(self.settings, alpn_protocols=protocols)
            made = self._offering[protocols] = client_context(settings, self._key_pairs, self._validation)
        return made

    @property
    def ready(self) -> bool:
        """Whether all secrets are there."""
        return self._context is not None

    def prepare(self, key_pairs: Sequence[KeyPair], validation: Validation | None) -> None:
        """Take over secrets. Raises TlsSettingsError; what was there stays in force then."""
        if validation is not None and validation.san_matchers and not validation.trusted_ca_pem:
            raise TlsSettingsError(
                "SAN-based verification of peer certificates without trusted CA is insecure and not allowed"
            )
        self._context = client_context(self.settings, key_pairs, validation)
        self._key_pairs, self._validation = key_pairs, validation
        self._offering = {}

    def server_name(self, hostname: str, requested: str = "") -> str:
        """The name to send to a host that configuration calls `hostname`; empty: none.

        `requested` is the one that a request brings along (`auto_sni`).
        """
        if requested:
            return requested
        return (self.settings.auto_host_sni and hostname) or self.settings.sni

    def accept(self, connection: ssl.SSLObject, server_name: str, *, check_name: bool = False) -> None:
        """A handshake is complete: is this host the right one? Raises TlsFailureError."""
        der = connection.getpeercert(binary_form=True)
        check_name = check_name or self.settings.auto_sni_san_validation
        if der is not None and (check_name or self._validation is not None):
            refused = self._refusal(_certificate(der), server_name, check_name)
            if refused is not None:
                self.stats.count_refusal(refused.check.value)
                raise verification_failure(refused.details)
        self.stats.count_handshake(connection, der is not None)
        if self.settings.max_session_keys and isinstance(connection.context, MeshContext):
            connection.context.remember(connection)

    def _refusal(self, certificate: Certificate, server_name: str, check_name: bool) -> Refused | None:
        if check_name and server_name and not is_for_host(certificate, server_name):
            names = ", ".join((*certificate.dns_names, *certificate.uris, *certificate.ip_addresses))
            return Refused(FailedCheck.SAN, f"SAN matcher, certificate SANs are [{names}]")
        return refusal_of(certificate, self._validation) if self._validation is not None else None


def _certificate(der: bytes) -> Certificate:
    """Raises TlsFailureError for one that cannot be read: OpenSSL minds less than we have to look at."""
    try:
        return read_certificate(der)
    except MalformedCertificateError as error:
        raise verification_failure(str(error)) from None


@dataclass(frozen=True, slots=True)
class TransportSockets:
    """`transport_socket` and `transport_socket_matches` of a cluster; None is plain text."""

    default: ClientTls | None = None
    matches: tuple[tuple[Callable[[Mapping[str, object]], bool], ClientTls | None], ...] = ()
    """Tests of an endpoint's metadata, the first that fits decides."""

    def choose(self, metadata: Mapping[str, Mapping[str, object]]) -> ClientTls | None:
        """How to speak to an endpoint with this metadata, by namespace."""
        if self.matches:
            labels = metadata.get("envoy.transport_socket_match", {})
            for test, tls in self.matches:
                if test(labels):
                    return tls
        return self.default

    @property
    def all(self) -> tuple[ClientTls, ...]:
        """Every TLS socket of them."""
        found = (self.default, *(tls for _, tls in self.matches))
        return tuple(tls for tls in found if tls is not None)
