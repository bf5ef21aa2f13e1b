"""Operators about the connections on both sides: addresses, ports, hosts, TLS."""

from __future__ import annotations

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators.expression import (
    Builder,
    Expression,
    maybe_number_of,
    nothing,
    number_of,
    text_of,
)
from minimesh.data_plane.telemetry.time_format import DEFAULT_FORMAT, TimeFormat

_TLS_FACTS = (
    "TLS_SESSION_ID", "TLS_CIPHER", "TLS_VERSION", "PEER_FINGERPRINT_256", "PEER_FINGERPRINT_1",
    "PEER_SERIAL", "PEER_CERT", "PEER_SUBJECT", "PEER_ISSUER", "PEER_URI_SAN", "PEER_DNS_SAN",
    "PEER_IP_SAN", "PEER_EMAIL_SAN", "PEER_OTHERNAME_SAN", "LOCAL_URI_SAN", "LOCAL_DNS_SAN",
    "LOCAL_IP_SAN", "LOCAL_EMAIL_SAN", "LOCAL_OTHERNAME_SAN", "LOCAL_SUBJECT",
)  # fmt: skip


def _host_of(attribute: str) -> Expression:
    return Expression(f"host_of(i.{attribute})", bindings={"host_of": host_of})


def host_of(address: str | None) -> str | None:
    """The address without its port: "127.0.0.1:80" gives "127.0.0.1"."""
    return (address.rpartition(":")[0] or address).strip("[]") if address else None


def _port_of(attribute: str) -> Expression:
    return Expression(f"port_of(i.{attribute})", kind="number", bindings={"port_of": port_of})


def port_of(address: str | None) -> int | None:
    port = address.rpartition(":")[2] if address else ""
    return int(port) if port.isdigit() else None


def _tls(key: str) -> Expression:
    return Expression(f"tls_fact(i.tls, '{key}')", bindings={"tls_fact": _tls_fact})


def _tls_fact(facts: dict[str, str] | None, key: str) -> str | None:
    return facts.get(key) if facts else None


def _certificate_time(command: Command) -> Expression:
    TimeFormat(command.argument or DEFAULT_FORMAT)
    return _tls(command.name.partition("_")[2])


def _requested_server_name(command: Command) -> Expression:
    option = (command.argument or "").partition(":")[0]
    if option not in ("", "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"):
        raise FormatError(
            f"Invalid REQUESTED_SERVER_NAME option: '{option}', "
            "only 'SNI_ONLY'/'SNI_FIRST'/'HOST_FIRST' are allowed"
        )
    sources = {
        "SNI_FIRST": "(i.requested_server_name or i.authority)",
        "HOST_FIRST": "(i.authority or i.requested_server_name)",
    }
    return Expression(sources.get(option, "i.requested_server_name"), empty_is_none=True)


PLAIN: dict[str, Expression] = {
    "UPSTREAM_HOST": text_of("upstream_host"),
    "UPSTREAM_HOSTS_ATTEMPTED": text_of("upstream_host"),
    "UPSTREAM_HOST_NAMES_ATTEMPTED": text_of("upstream_host"),
    "UPSTREAM_HOST_NAME": Expression("(i.upstream_host_name or i.upstream_host)", empty_is_none=True),
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": Expression(
        "host_of(i.upstream_host_name or i.upstream_host)", bindings={"host_of": host_of}
    ),
    "UPSTREAM_CLUSTER": text_of("upstream_cluster"),
    "UPSTREAM_CLUSTER_RAW": text_of("upstream_cluster"),
    "UPSTREAM_LOCAL_ADDRESS": text_of("upstream_local_address"),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _host_of("upstream_local_address"),
    "UPSTREAM_LOCAL_PORT": _port_of("upstream_local_address"),
    "UPSTREAM_REMOTE_ADDRESS": Expression("(i.upstream_host if i.upstream_local_address else None)"),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("upstream_host"),
    "UPSTREAM_REMOTE_PORT": _port_of("upstream_host"),
    "UPSTREAM_PROTOCOL": text_of("upstream_protocol"),
    "UPSTREAM_CONNECTION_ID": maybe_number_of("upstream_connection_id"),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": text_of("upstream_transport_failure_reason"),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": number_of("upstream_request_attempt_count"),
    "UPSTREAM_LOCAL_CLOSE_REASON": nothing(),
    "UPSTREAM_DETECTED_CLOSE_TYPE": Expression("('Normal' if i.upstream_host else None)"),
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": Expression("'Normal'", nullable=False),
    "DOWNSTREAM_LOCAL_CLOSE_REASON": text_of("downstream_local_close_reason"),
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": text_of("downstream_transport_failure_reason"),
    "DOWNSTREAM_LOCAL_ADDRESS": text_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _host_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_PORT": _port_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID": nothing(),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS": Expression(
        "(i.downstream_direct_local_address or i.downstream_local_address)", empty_is_none=True
    ),
    "DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": Expression(
        "host_of(i.downstream_direct_local_address or i.downstream_local_address)",
        bindings={"host_of": host_of},
    ),
    "DOWNSTREAM_DIRECT_LOCAL_PORT": Expression(
        "port_of(i.downstream_direct_local_address or i.downstream_local_address)",
        kind="number",
        bindings={"port_of": port_of},
    ),
    "DOWNSTREAM_REMOTE_ADDRESS": text_of("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_PORT": _port_of("downstream_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": text_of("downstream_direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("downstream_direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": _port_of("downstream_direct_remote_address"),
    "CONNECTION_ID": maybe_number_of("connection_id"),
    "TLS_JA3_FINGERPRINT": nothing(),
    "TLS_JA4_FINGERPRINT": nothing(),
    **{f"DOWNSTREAM_{fact}": _tls(fact) for fact in _TLS_FACTS},
    **{f"UPSTREAM_{fact}": nothing() for fact in _TLS_FACTS},
}
WITH_ARGUMENT: dict[str, Builder] = {
    "REQUESTED_SERVER_NAME": _requested_server_name,
    "DOWNSTREAM_PEER_CERT_V_START": _certificate_time,
    "DOWNSTREAM_PEER_CERT_V_END": _certificate_time,
    "UPSTREAM_PEER_CERT_V_START": _certificate_time,
    "UPSTREAM_PEER_CERT_V_END": _certificate_time,
}
