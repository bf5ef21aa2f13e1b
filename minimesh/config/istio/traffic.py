"""Messages that several traffic kinds share: destinations, ports, selectors, TLS settings of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated

from minimesh.config.schema import Length, Message, Range, Req, Rule, UInt32, message

PortNumber = Annotated[
    int, Range(0, 2**32 - 1), Rule("port must be between 1-65535", lambda number: 0 < number <= 65535)
]
SelectorLabel = Annotated[
    str, Length(0, 63), Rule("wildcard is not supported in selector", lambda text: "*" not in text)
]
SelectorLabels = Annotated[Mapping[str, SelectorLabel], Length(0, 256)]


@message
class PortSelector(Message):
    """A port by number."""

    number: UInt32 = 0


@message
class Destination(Message):
    """Where requests go: a service host, one of its subsets, one of its ports."""

    host: Req[str] = ""
    subset: str = ""
    port: PortSelector | None = None


@message
class WorkloadSelector(Message):
    """Workloads by labels, in the spelling of the networking group."""

    labels: SelectorLabels = field(default_factory=dict)


class ServerTLSMode(StrEnum):
    """How a gateway server treats TLS."""

    PASSTHROUGH = "PASSTHROUGH"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    AUTO_PASSTHROUGH = "AUTO_PASSTHROUGH"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    OPTIONAL_MUTUAL = "OPTIONAL_MUTUAL"


class TLSProtocol(StrEnum):
    """TLS versions."""

    TLS_AUTO = "TLS_AUTO"
    TLSV1_0 = "TLSV1_0"
    TLSV1_1 = "TLSV1_1"
    TLSV1_2 = "TLSV1_2"
    TLSV1_3 = "TLSV1_3"


@message
class TLSCertificate(Message):
    """Paths of one certificate, its key and its authorities."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


@message
class ServerTLSSettings(Message):
    """TLS as a server speaks it."""

    https_redirect: bool = False
    mode: ServerTLSMode | None = None
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    credential_name: str = ""
    credential_names: Annotated[tuple[str, ...], Length(1, 2)] = ()
    ca_cert_credential_name: str = ""
    tls_certificates: Annotated[tuple[TLSCertificate, ...], Length(1, 2)] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    min_protocol_version: TLSProtocol | None = None
    max_protocol_version: TLSProtocol | None = None
    cipher_suites: tuple[str, ...] = ()
    ecdh_curves: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None
