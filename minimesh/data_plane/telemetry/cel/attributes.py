"""Envoy's attributes of a stream: what `response.code` and its like are, read from a StreamInfo.

None stands for an attribute that this stream has not; to ask for it is then an error of the expression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from minimesh.data_plane.telemetry.operators.connections import port_of
from minimesh.data_plane.telemetry.operators.outcome import LONG_FLAGS, grpc_status
from minimesh.data_plane.telemetry.stream_info import HeaderLookup, StreamInfo

Attribute = Callable[[StreamInfo], Any]

_FLAG_BITS = {flag: 1 << bit for bit, flag in enumerate(LONG_FLAGS)}


class Headers:
    """A head as CEL sees it: a map from lower-case names to values; several values stand in one text."""

    __slots__ = ("_head", "_own")

    def __init__(self, head: HeaderLookup | None, own: Mapping[str, str | None]) -> None:
        self._head = head
        self._own = own

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def get(self, name: str) -> str | None:
        """The header's value; None when there is none. Names are matched without regard to case."""
        lowered = name.lower()
        if lowered in self._own:
            return self._own[lowered]
        values = self._head.header_values(lowered) if self._head is not None else ()
        return ",".join(values) if values else None


def _request_headers(info: StreamInfo) -> Headers:
    own = {":method": info.method, ":path": info.path, ":authority": info.authority, "host": info.authority}
    return Headers(info.request, own)


def _response_headers(info: StreamInfo) -> Headers:
    return Headers(
        info.response_headers, {":status": str(info.response_code) if info.response_code else None}
    )


def _header(name: str) -> Attribute:
    return lambda info: _request_headers(info).get(name)


def _url_path(info: StreamInfo) -> str | None:
    return None if info.path is None else info.path.partition("?")[0]


def _query(info: StreamInfo) -> str | None:
    return None if info.path is None else info.path.partition("?")[2]


def _scheme(info: StreamInfo) -> str | None:
    if info.method is None:
        return None
    return _request_headers(info).get("x-forwarded-proto") or ("https" if info.tls is not None else "http")


def _duration(info: StreamInfo) -> timedelta | None:
    return None if info.completed_at is None else timedelta(seconds=info.completed_at - info.started_at)


def _backend_latency(info: StreamInfo) -> timedelta | None:
    sent, answered = info.first_upstream_tx_at, info.upstream_rx_done_at
    return None if sent is None or answered is None else timedelta(seconds=answered - sent)


def _flags(info: StreamInfo) -> int:
    flags = info.response_flags
    return sum(_FLAG_BITS.get(flag, 0) for flag in flags.split(",")) if flags else 0


def _route_name(info: StreamInfo) -> str | None:
    """A route without a name has an empty one; without a route there is none."""
    return info.route_name or ("" if info.virtual_host_name is not None else None)


def _tls(fact: str) -> Attribute:
    return lambda info: info.tls.get(fact) if info.tls else None


ATTRIBUTES: Mapping[str, Attribute] = {
    "request.path": lambda info: info.path,
    "request.url_path": _url_path,
    "request.query": _query,
    "request.host": lambda info: info.authority,
    "request.scheme": _scheme,
    "request.method": lambda info: info.method,
    "request.headers": _request_headers,
    "request.referer": _header("referer"),
    "request.useragent": lambda info: info.user_agent,
    "request.id": lambda info: info.request_id,
    "request.protocol": lambda info: info.protocol,
    "request.time": lambda info: datetime.fromtimestamp(info.start_time, UTC),
    "request.duration": _duration,
    "request.size": lambda info: info.bytes_received,
    "response.code": lambda info: info.response_code or None,
    "response.code_details": lambda info: info.response_code_details,
    "response.flags": _flags,
    "response.grpc_status": grpc_status,
    "response.headers": _response_headers,
    "response.trailers": lambda info: Headers(info.response_trailers, {}),
    "response.size": lambda info: info.bytes_sent,
    "response.backend_latency": _backend_latency,
    "source.address": lambda info: info.downstream_remote_address,
    "source.port": lambda info: port_of(info.downstream_remote_address),
    "destination.address": lambda info: info.downstream_local_address,
    "destination.port": lambda info: port_of(info.downstream_local_address),
    "connection.id": lambda info: info.connection_id,
    "connection.mtls": lambda info: bool(info.tls and info.tls.get("PEER_SUBJECT")),
    "connection.requested_server_name": lambda info: info.requested_server_name or "",
    "connection.tls_version": _tls("TLS_VERSION"),
    "connection.subject_local_certificate": _tls("LOCAL_SUBJECT"),
    "connection.subject_peer_certificate": _tls("PEER_SUBJECT"),
    "connection.dns_san_local_certificate": _tls("LOCAL_DNS_SAN"),
    "connection.dns_san_peer_certificate": _tls("PEER_DNS_SAN"),
    "connection.uri_san_local_certificate": _tls("LOCAL_URI_SAN"),
    "connection.uri_san_peer_certificate": _tls("PEER_URI_SAN"),
    "connection.termination_details": lambda info: info.connection_termination_details,
    "upstream.address": lambda info: info.upstream_host,
    "upstream.port": lambda info: port_of(info.upstream_host),
    "upstream.local_address": lambda info: info.upstream_local_address,
    "upstream.transport_failure_reason": lambda info: info.upstream_transport_failure_reason,
    "upstream.request_attempt_count": lambda info: info.upstream_request_attempt_count,
    "xds.cluster_name": lambda info: info.upstream_cluster,
    "xds.route_name": _route_name,
    "xds.virtual_host_name": lambda info: info.virtual_host_name,
    "xds.filter_chain_name": lambda info: info.filter_chain_name,
}
"""By the path that an expression writes."""

ROOTS = frozenset(name.partition(".")[0] for name in ATTRIBUTES)
