"""Rules for Gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, as_name, check_host, check_port, is_label

if TYPE_CHECKING:
    from minimesh.config.istio.gateway import Gateway, Server


GATEWAY_PROTOCOLS = ("HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "MONGO", "TCP", "TLS")
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
            message = f'"{name}" must be at most 63 letters, digits and dashes'
            yield Finding(f"{path}.port.name", "bad-name", message, suggestion=as_name(name[:63]))
        port_names.add(name)


def _server(path: str, server: Server) -> Findings:
    if not server.hosts:
        yield Finding(f"{path}.hosts", "missing-field", 'is empty; list the hosts to serve, or "*" for all')
    for index, host in enumerate(server.hosts):
        yield from check_host(f"{path}.hosts[{index}]", host.rpartition("/")[2], short_names=False)
    if server.port is None:
        return
    protocol = server.port.protocol.upper()
    yield from check_port(f"{path}.port.number", server.port.number)
    if protocol not in GATEWAY_PROTOCOLS and server.port.protocol:
        yield Finding(
            f"{path}.port.protocol",
            "bad-value",
            f'must be one of {", ".join(GATEWAY_PROTOCOLS)}, not "{server.port.protocol}"',
        )
    tls = server.tls
    if tls is None:
        if protocol in ("HTTPS", "TLS"):
            yield Finding(
                f"{path}.tls", "missing-field", f"is missing; a server for {protocol} needs tls settings"
            )
        return
    if protocol in PLAIN_TEXT_PROTOCOLS and not tls.https_redirect and tls.mode is not None:
        yield Finding(
            f"{path}.tls", "tls-on-plain-port", f"does not go with protocol {protocol}; write HTTPS"
        )
    certificate = (
        tls.credential_name or tls.credential_names or tls.tls_certificates or tls.server_certificate
    )
    if (
        protocol in ("HTTPS", "TLS")
        and tls.mode in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL")
        and not certificate
    ):
        yield Finding(
            f"{path}.tls",
            "missing-field",
            f"mode {tls.mode} needs a certificate: credentialName, or serverCertificate and privateKey",
        )
