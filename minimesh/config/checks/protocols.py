"""Which words istiod takes for a port's protocol, and of which family they are."""

from __future__ import annotations

from minimesh.config.checks.finding import Finding, Findings

HTTP_FAMILY = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})
TLS_FAMILY = frozenset({"HTTPS", "TLS"})
TCP_FAMILY = frozenset({"TCP", "MONGO", "REDIS", "MYSQL"})
KNOWN = HTTP_FAMILY | TLS_FAMILY | TCP_FAMILY | {"UDP", "HBONE"}


def is_http(protocol: str) -> bool:
    return protocol.upper() in HTTP_FAMILY


def is_tls(protocol: str) -> bool:
    return protocol.upper() in TLS_FAMILY


def is_tcp(protocol: str) -> bool:
    """Whether connections of the protocol are plain streams to a proxy; TLS ones are too."""
    return protocol.upper() in TCP_FAMILY | TLS_FAMILY


def check_protocol(path: str, protocol: str) -> Findings:
    """Empty is fine: then the proxy looks at the first bytes."""
    if protocol and protocol.upper() not in KNOWN:
        message = f'unsupported protocol: "{protocol}"; write one of {", ".join(sorted(KNOWN))}'
        yield Finding(path, "bad-value", message)
