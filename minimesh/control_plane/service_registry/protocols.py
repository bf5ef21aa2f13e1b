"""What a service port speaks, and how that is told from its declaration."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """What a service port speaks; UNSUPPORTED means undeclared, to be found out from the first bytes."""

    HTTP = "HTTP"
    HTTP2 = "HTTP2"
    GRPC = "GRPC"
    GRPC_WEB = "GRPC-Web"
    HTTP_PROXY = "HTTP_PROXY"
    HTTPS = "HTTPS"
    TLS = "TLS"
    TCP = "TCP"
    UDP = "UDP"
    MONGO = "Mongo"
    MYSQL = "MySQL"
    REDIS = "Redis"
    UNSUPPORTED = "UnsupportedProtocol"

    @property
    def is_http(self) -> bool:
        return self in _HTTP_PROTOCOLS

    @property
    def is_http2(self) -> bool:
        return self in (Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB)

    @property
    def is_http_or_sniffed(self) -> bool:
        return self.is_http or self is Protocol.UNSUPPORTED


_HTTP_PROTOCOLS = frozenset(
    {Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC, Protocol.GRPC_WEB, Protocol.HTTP_PROXY}
)


_PROTOCOL_NAMES = {str(protocol).lower(): protocol for protocol in Protocol}


_APP_PROTOCOLS = {
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.HTTPS,
}


# SMTP, DNS, MySQL, MongoDB: waiting for the client's first bytes would hang or harm the connection.
_UNSNIFFED_PORTS = frozenset({25, 53, 3306, 27017})


def parse_protocol(name: str) -> Protocol:
    """A protocol as written in a Gateway, Sidecar or ServiceEntry; case does not matter."""
    return _PROTOCOL_NAMES.get(name.lower(), Protocol.UNSUPPORTED)


def infer_protocol(port: int, name: str, transport: str, app_protocol: str) -> Protocol:
    """What a Kubernetes service port speaks: by appProtocol, else by the name; of either the first word.

    Where that says nothing, ports on which nothing can be found out by looking are plain TCP.
    """
    if transport.upper() == "UDP":
        return Protocol.UDP
    said = (app_protocol or name).lower()
    if app_protocol and said in _APP_PROTOCOLS:
        return _APP_PROTOCOLS[said]
    if said.startswith("grpc-web"):
        return Protocol.GRPC_WEB
    declared = parse_protocol(said.split("-", 1)[0])
    if declared is Protocol.UNSUPPORTED and port in _UNSNIFFED_PORTS:
        return Protocol.TCP
    return declared
