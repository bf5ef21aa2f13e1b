"""Rules for Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, as_name, check_port, is_label
from minimesh.config.checks.hosts import check_ip, check_scoped_host, check_unix_path
from minimesh.config.checks.protocols import KNOWN, is_http, is_tls
from minimesh.config.checks.server_tls import check_server_tls
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.gateway import Gateway, Server


GATEWAY_PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS")
"""What Istio's documentation lists; messages name these."""
PLAIN_TEXT_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "GRPC-WEB")


def check_gateway(spec: Gateway) -> Findings:
    if not spec.servers:
        yield Finding("spec.servers", "missing-field", "is empty; a gateway needs at least one server")
    port_names: set[str] = set()
    for index, server in enumerate(spec.servers):
        path = f"spec.servers[{index}]"
        yield from _server(path, server)
        name = server.port.name if server.port else ""
        if name and name in port_names:
            yield Finding(
                f"{path}.port.name", "duplicate-name", f'another server\'s port is called "{name}" too'
            )
        if name and not is_label(name.lower()):
            message = f'"{name}" should be at most 63 letters, digits and dashes'
            suggestion = as_name(name[:63])
            yield Finding(f"{path}.port.name", "bad-name", message, Severity.WARNING, suggestion)
        port_names.add(name)


def _server(path: str, server: Server) -> Findings:
    if not server.hosts:
        yield Finding(f"{path}.hosts", "missing-field", 'is empty; list the hosts to serve, or "*" for all')
    for index, host in enumerate(server.hosts):
        yield from check_scoped_host(f"{path}.hosts[{index}]", host, gateway=True)
    yield from _bind(path, server)
    yield from _port(path, server)
    yield from check_server_tls(f"{path}.tls", server.tls)


def _port(path: str, server: Server) -> Findings:
    if server.port is None:
        return
    if server.port.target_port:
        yield Finding(
            f"{path}.port.targetPort", "unused-field", "targetPort has no impact on Gateways; remove it"
        )
    protocol = server.port.protocol
    if protocol and protocol.upper() not in KNOWN:
        message = f'invalid protocol "{protocol}": must be one of {", ".join(GATEWAY_PROTOCOLS)}'
        yield Finding(f"{path}.port.protocol", "bad-value", message)
        return
    yield from _tls_and_protocol(path, server, protocol.upper())


def _bind(path: str, server: Server) -> Findings:
    socket = server.bind.removeprefix("unix://")
    number = server.port.number if server.port else 0
    if socket != server.bind:
        yield from check_unix_path(f"{path}.bind", socket)
        if number:
            message = "port number must be 0 for unix domain socket"
            yield Finding(f"{path}.port.number", "bad-port", message)
        return
    if server.bind:
        yield from check_ip(f"{path}.bind", server.bind)
    if server.port is not None:
        yield from check_port(f"{path}.port.number", number)


def _tls_and_protocol(path: str, server: Server, protocol: str) -> Findings:
    tls = server.tls
    if tls is None:
        if is_tls(protocol):
            yield Finding(
                f"{path}.tls", "missing-field", f"is missing; a server for {protocol} needs tls settings"
            )
        return
    if tls.https_redirect and not is_http(protocol):
        message = "tls.httpsRedirect should only be used with http servers"
        yield Finding(f"{path}.tls.httpsRedirect", "unused-field", message, Severity.WARNING)
    passes_through = tls.mode in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH")
    has_files = bool(tls.ca_certificates or tls.private_key or tls.server_certificate)
    if is_http(protocol) and (not passes_through or has_files):
        message = (
            f"server cannot have TLS settings for plain text HTTP ports; write protocol HTTPS, not {protocol}"
        )
        yield Finding(f"{path}.tls", "tls-on-plain-port", message)
    elif not is_http(protocol) and not is_tls(protocol):
        message = (
            f"server cannot have TLS settings for non HTTPS/TLS ports; write protocol TLS, not {protocol}"
        )
        yield Finding(f"{path}.tls", "tls-on-plain-port", message)
