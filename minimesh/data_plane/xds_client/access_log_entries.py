"""StreamInfo -> the entries of Envoy's access-log service (envoy.data.accesslog.v3), field by field."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.xds import messages as m
from minimesh.xds.response_flags import FLAG_FIELDS

if TYPE_CHECKING:
    from minimesh.data_plane.telemetry.stream_info import HeaderLookup, StreamInfo

_HTTP_VERSIONS = {
    "HTTP/1.0": m.access_log_data_pb2.HTTPAccessLogEntry.HTTP10,
    "HTTP/1.1": m.access_log_data_pb2.HTTPAccessLogEntry.HTTP11,
    "HTTP/2": m.access_log_data_pb2.HTTPAccessLogEntry.HTTP2,
}
#: Moments of a stream: field of the entry, attribute of StreamInfo.
_MOMENTS = (
    ("time_to_last_rx_byte", "last_downstream_rx_at"),
    ("time_to_first_upstream_tx_byte", "first_upstream_tx_at"),
    ("time_to_last_upstream_tx_byte", "upstream_tx_done_at"),
    ("time_to_first_upstream_rx_byte", "first_upstream_rx_at"),
    ("time_to_last_upstream_rx_byte", "upstream_rx_done_at"),
    ("time_to_first_downstream_tx_byte", "downstream_tx_begun_at"),
    ("time_to_last_downstream_tx_byte", "downstream_tx_done_at"),
    ("duration", "completed_at"),
)
#: Addresses, likewise.
_ADDRESSES = (
    ("downstream_remote_address", "downstream_remote_address"),
    ("downstream_local_address", "downstream_local_address"),
    ("downstream_direct_remote_address", "downstream_direct_remote_address"),
    ("upstream_remote_address", "upstream_host"),
    ("upstream_local_address", "upstream_local_address"),
)


@dataclass(frozen=True, slots=True)
class LoggedHeaders:
    """Headers that entries carry beside the fields that the service always gets; names in lower case."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()
    trailers: tuple[str, ...] = ()


def fill_http_entry(entry: Any, info: StreamInfo, headers: LoggedHeaders) -> None:
    """Make an empty HTTPAccessLogEntry that of a finished stream."""
    entry.protocol_version = _HTTP_VERSIONS.get(info.protocol or "", 0)
    _fill_common(entry.common_properties, info)
    _fill_request(entry.request, info, headers)
    _fill_response(entry.response, info, headers)


def fill_tcp_entry(entry: Any, info: StreamInfo) -> None:
    """Make an empty TCPAccessLogEntry that of a finished connection."""
    _fill_common(entry.common_properties, info)
    entry.connection_properties.received_bytes = info.bytes_received
    entry.connection_properties.sent_bytes = info.bytes_sent


def _fill_common(common: Any, info: StreamInfo) -> None:
    _set_time(common.start_time, info.start_time)
    started_at = info.started_at
    for field, attribute in _MOMENTS:
        at = getattr(info, attribute)
        if at is not None:
            _set_time(getattr(common, field), max(0.0, at - started_at))
    for field, attribute in _ADDRESSES:
        address = getattr(info, attribute)
        if address:
            socket_address = getattr(common, field).socket_address
            socket_address.address, socket_address.port_value = _host_and_port(address)
    common.upstream_cluster = info.upstream_cluster or ""
    common.route_name = info.route_name or ""
    common.upstream_transport_failure_reason = info.upstream_transport_failure_reason or ""
    common.connection_termination_details = info.connection_termination_details or ""
    common.upstream_request_attempt_count = info.upstream_request_attempt_count
    common.stream_id = info.request_id or ""
    client, host = info.downstream_bytes, info.upstream_bytes
    common.downstream_wire_bytes_received = client.wire_received
    common.downstream_wire_bytes_sent = client.wire_sent
    common.upstream_wire_bytes_received = host.wire_received
    common.upstream_wire_bytes_sent = host.wire_sent
    if info.requested_server_name:
        common.tls_properties.tls_sni_hostname = info.requested_server_name
    if info.response_flags:
        for flag in info.response_flags.split(","):
            _set_flag(common.response_flags, flag)


def _set_time(message: Any, seconds: float) -> None:
    """Set a Timestamp or Duration; the library's own way takes twice as long."""
    whole = int(seconds)
    message.seconds, message.nanos = whole, int((seconds - whole) * 1e9)


def _set_flag(flags: Any, flag: str) -> None:
    if flag == "UAEX":
        flags.unauthorized_details.reason = flags.unauthorized_details.EXTERNAL_SERVICE
    elif flag in FLAG_FIELDS:
        setattr(flags, FLAG_FIELDS[flag], True)


@functools.lru_cache(maxsize=1024)
def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _fill_request(request: Any, info: StreamInfo, headers: LoggedHeaders) -> None:
    if info.method:
        request.request_method = _METHODS.get(info.method, 0)
    request.path = info.path or ""
    request.authority = info.authority or ""
    request.user_agent = info.user_agent or ""
    request.forwarded_for = info.x_forwarded_for or ""
    request.request_id = info.request_id or ""
    request.original_path = info.original_path or ""
    request.request_body_bytes = info.bytes_received
    request.request_headers_bytes = info.request_headers_bytes
    request.downstream_header_bytes_received = info.downstream_bytes.header_received
    request.upstream_header_bytes_sent = info.upstream_bytes.header_sent
    if info.request is not None:
        request.scheme = _first(info.request, ":scheme")
        _copy_headers(request.request_headers, info.request, headers.request)


def _fill_response(response: Any, info: StreamInfo, headers: LoggedHeaders) -> None:
    response.response_code.value = info.response_code
    response.response_code_details = info.response_code_details or ""
    response.response_body_bytes = info.bytes_sent
    response.response_headers_bytes = info.response_headers_bytes
    response.downstream_header_bytes_sent = info.downstream_bytes.header_sent
    response.upstream_header_bytes_received = info.upstream_bytes.header_received
    if info.response_headers is not None:
        _copy_headers(response.response_headers, info.response_headers, headers.response)
    if info.response_trailers is not None:
        _copy_headers(response.response_trailers, info.response_trailers, headers.trailers)


def _copy_headers(target: Any, source: HeaderLookup, names: Sequence[str]) -> None:
    for name in names:
        values = source.header_values(name)
        if values:
            target[name] = ",".join(values)


def _first(source: HeaderLookup, name: str) -> str:
    values = source.header_values(name)
    return values[0] if values else ""


_METHODS = dict(m.base_pb2.RequestMethod.items())
