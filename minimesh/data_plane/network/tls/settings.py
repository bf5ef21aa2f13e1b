"""What transport sockets say, in plain values: certificates, what is asked of the peer, versions. Frozen."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class TlsSettingsError(ValueError):
    """Settings that OpenSSL refuses, or that the standard library cannot carry out; `str()` says which."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate chain, leaf first, and its private key, both PEM."""

    chain_pem: bytes
    key_pem: bytes
    password: str = ""

    def __repr__(self) -> str:
        return f"KeyPair({len(self.chain_pem)} bytes of chain)"  # never the key


class SanKind(Enum):
    """`san_type` of a subject alternative name."""

    EMAIL = "EMAIL"
    DNS = "DNS"
    URI = "URI"
    IP_ADDRESS = "IP_ADDRESS"
    OTHER_NAME = "OTHER_NAME"


@dataclass(frozen=True, slots=True)
class SanMatcher:
    """One of `match_typed_subject_alt_names`."""

    kind: SanKind
    test: Callable[[str], bool]
    exact: str = ""
    """Of an exact matcher, its text: a DNS name of the certificate may cover it by a wildcard."""
    oid: str = ""
    """OTHER_NAME: the kind of other name."""


@dataclass(frozen=True, slots=True)
class Validation:
    """What is asked of a peer's certificate; a Validation without a word asks nothing."""

    trusted_ca_pem: bytes = b""
    san_matchers: tuple[SanMatcher, ...] = ()
    certificate_hashes: frozenset[str] = frozenset()
    """SHA-256 of the certificate, lower-case hexadecimal without colons."""
    public_key_hashes: frozenset[str] = frozenset()
    """SHA-256 of the public key, base64."""
    crl_pem: bytes = b""
    only_leaf_crl: bool = False
    allow_expired: bool = False
    accept_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class TlsParameters:
    """Versions and algorithms; None and empty leave Envoy's default for the side."""

    minimum_version: ssl.TLSVersion | None = None
    maximum_version: ssl.TLSVersion | None = None
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """DownstreamTlsContext, but for what secrets bring."""

    parameters: TlsParameters = TlsParameters()
    alpn_protocols: tuple[str, ...] = ()
    require_client_certificate: bool = False
    stateless_resumption: bool = True
    prefer_client_ciphers: bool = False
    full_scan_certs_on_sni_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """UpstreamTlsContext, but for what secrets bring."""

    parameters: TlsParameters = TlsParameters()
    alpn_protocols: tuple[str, ...] = ()
    sni: str = ""
    auto_host_sni: bool = False
    """The endpoint's hostname in place of `sni`, where it has one."""
    auto_sni_san_validation: bool = False
    """The certificate has to be for the server name that was sent."""
    max_session_keys: int = 1
    """0: no session is taken up again."""
