"""Entries of the access-log service as the page shows them: Istio's 22 fields, the line, flags in words.

An entry is the same whichever proxy told it, ours or the real Envoy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.config.decimals import decimal
from minimesh.explain.flags import details_words, flag_words
from minimesh.xds import messages as m
from minimesh.xds.resource_names import TrafficDirection, parse_cluster_name
from minimesh.xds.response_flags import FLAG_FIELDS

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.access_log_service import LoggedStream

#: Field of the default line -> (operator, what it tells). In the order of the line.
FIELDS: Mapping[str, tuple[str, str]] = {
    "START_TIME": ("%START_TIME%", "when the first byte of the request came"),
    "METHOD": ("%REQ(:METHOD)%", "the method"),
    "PATH": (
        "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
        "the path as the client asked for it, before any rewrite",
    ),
    "PROTOCOL": ("%PROTOCOL%", "the protocol that the client spoke"),
    "RESPONSE_CODE": ("%RESPONSE_CODE%", "the status that the client got; 0 when it got none"),
    "RESPONSE_FLAGS": ("%RESPONSE_FLAGS%", "what happened at the proxy; - is nothing remarkable"),
    "RESPONSE_CODE_DETAILS": ("%RESPONSE_CODE_DETAILS%", "who decided the status, and why"),
    "CONNECTION_TERMINATION_DETAILS": (
        "%CONNECTION_TERMINATION_DETAILS%",
        "why the proxy ended the connection, if it did",
    ),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": (
        "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "why the connection to the endpoint failed, if it did",
    ),
    "BYTES_RECEIVED": ("%BYTES_RECEIVED%", "bytes of the request's body"),
    "BYTES_SENT": ("%BYTES_SENT%", "bytes of the response's body"),
    "DURATION": ("%DURATION%", "milliseconds from the first byte in to the last byte out"),
    "UPSTREAM_SERVICE_TIME": (
        "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
        "milliseconds that the endpoint took to answer",
    ),
    "X_FORWARDED_FOR": ("%REQ(X-FORWARDED-FOR)%", "the clients in front of this proxy"),
    "USER_AGENT": ("%REQ(USER-AGENT)%", "the client's program"),
    "REQUEST_ID": ("%REQ(X-REQUEST-ID)%", "the same at every hop of a request"),
    "AUTHORITY": ("%REQ(:AUTHORITY)%", "the host that was asked for"),
    "UPSTREAM_HOST": ("%UPSTREAM_HOST%", "the endpoint that was chosen"),
    "UPSTREAM_CLUSTER_RAW": ("%UPSTREAM_CLUSTER_RAW%", "the cluster that the route leads to"),
    "UPSTREAM_LOCAL_ADDRESS": (
        "%UPSTREAM_LOCAL_ADDRESS%",
        "the proxy's end of the connection to the endpoint",
    ),
    "DOWNSTREAM_LOCAL_ADDRESS": ("%DOWNSTREAM_LOCAL_ADDRESS%", "the address that the client connected to"),
    "DOWNSTREAM_REMOTE_ADDRESS": ("%DOWNSTREAM_REMOTE_ADDRESS%", "the client's address"),
    "REQUESTED_SERVER_NAME": ("%REQUESTED_SERVER_NAME%", "the server name of the TLS hello"),
    "ROUTE_NAME": ("%ROUTE_NAME%", "the route that matched"),
}
_PROTOCOLS = {
    m.access_log_data_pb2.HTTPAccessLogEntry.HTTP10: "HTTP/1.0",
    m.access_log_data_pb2.HTTPAccessLogEntry.HTTP11: "HTTP/1.1",
    m.access_log_data_pb2.HTTPAccessLogEntry.HTTP2: "HTTP/2",
    m.access_log_data_pb2.HTTPAccessLogEntry.HTTP3: "HTTP/3",
}
#: Moments of a request, in the order in which they come.
_MOMENTS = (
    "time_to_last_rx_byte", "time_to_first_upstream_tx_byte", "time_to_last_upstream_tx_byte",
    "time_to_first_upstream_rx_byte", "time_to_last_upstream_rx_byte", "time_to_first_downstream_tx_byte",
    "time_to_last_downstream_tx_byte",
)  # fmt: skip

#: Address of a pod -> `NAMESPACE/POD`, empty for what is none.
PodAt = Callable[[str], str]


def shown_entry(told: LoggedStream, pod_at: PodAt) -> dict[str, Any]:
    """One entry of the access-log service as plain data for the page."""
    common = told.entry.common_properties
    fields = _fields(told)
    cluster = common.upstream_cluster
    return {
        "proxy": proxy_of(told.node_id),
        "side": _side(told.node_id, cluster),
        "tcp": told.tcp,
        "at": common.start_time.ToNanoseconds() / 1e9,
        "request_id": request_id_of(told),
        "fields": fields,
        "line": log_line(fields),
        "method": fields["METHOD"],
        "path": fields["PATH"],
        "authority": fields["AUTHORITY"],
        "status": 0 if told.tcp else told.entry.response.response_code.value,
        "flags": _flags(fields["RESPONSE_FLAGS"]),
        "details": fields["RESPONSE_CODE_DETAILS"],
        "details_words": details_words(fields["RESPONSE_CODE_DETAILS"]),
        "duration_ms": common.duration.ToNanoseconds() / 1e6,
        "upstream_ms": decimal(fields["UPSTREAM_SERVICE_TIME"]),
        "cluster": cluster,
        "upstream_host": fields["UPSTREAM_HOST"],
        "upstream_pod": pod_at(_host(fields["UPSTREAM_HOST"])),
        "source_pod": pod_at(_host(fields["DOWNSTREAM_REMOTE_ADDRESS"])),
        "times_ms": {
            name.removeprefix("time_to_"): getattr(common, name).ToNanoseconds() / 1e6
            for name in _MOMENTS
            if common.HasField(name)
        },
    }


def request_id_of(told: LoggedStream) -> str:
    """The request id of an entry; empty for a connection."""
    return "" if told.tcp else str(told.entry.request.request_id)


def proxy_of(node_id: str) -> str:
    """`NAMESPACE/POD` of a node id as Istio makes them (`sidecar~IP~POD.NAMESPACE~DOMAIN`)."""
    parts = node_id.split("~")
    if len(parts) != 4:
        return node_id
    pod, _, namespace = parts[2].rpartition(".")
    return f"{namespace}/{pod}"


def log_line(fields: Mapping[str, str]) -> str:
    """Istio's default line, without its end."""
    f = fields
    return (
        f'[{f["START_TIME"]}] "{f["METHOD"]} {f["PATH"]} {f["PROTOCOL"]}" {f["RESPONSE_CODE"]} '
        f"{f['RESPONSE_FLAGS']} {f['RESPONSE_CODE_DETAILS']} {f['CONNECTION_TERMINATION_DETAILS']} "
        f'"{f["UPSTREAM_TRANSPORT_FAILURE_REASON"]}" {f["BYTES_RECEIVED"]} {f["BYTES_SENT"]} {f["DURATION"]} '
        f'{f["UPSTREAM_SERVICE_TIME"]} "{f["X_FORWARDED_FOR"]}" "{f["USER_AGENT"]}" "{f["REQUEST_ID"]}" '
        f'"{f["AUTHORITY"]}" "{f["UPSTREAM_HOST"]}" {f["UPSTREAM_CLUSTER_RAW"]} '
        f"{f['UPSTREAM_LOCAL_ADDRESS']} {f['DOWNSTREAM_LOCAL_ADDRESS']} {f['DOWNSTREAM_REMOTE_ADDRESS']} "
        f"{f['REQUESTED_SERVER_NAME']} {f['ROUTE_NAME']}"
    )


def _fields(told: LoggedStream) -> dict[str, str]:
    common = told.entry.common_properties
    fields = dict.fromkeys(FIELDS, "-")
    fields |= {
        "START_TIME": common.start_time.ToDatetime().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
        "RESPONSE_FLAGS": _short_flags(common.response_flags) or "-",
        "CONNECTION_TERMINATION_DETAILS": common.connection_termination_details or "-",
        "UPSTREAM_TRANSPORT_FAILURE_REASON": common.upstream_transport_failure_reason or "-",
        "DURATION": str(common.duration.ToMilliseconds()),
        "UPSTREAM_HOST": _address(common.upstream_remote_address),
        "UPSTREAM_CLUSTER_RAW": common.upstream_cluster or "-",
        "UPSTREAM_LOCAL_ADDRESS": _address(common.upstream_local_address),
        "DOWNSTREAM_LOCAL_ADDRESS": _address(common.downstream_local_address),
        "DOWNSTREAM_REMOTE_ADDRESS": _address(common.downstream_remote_address),
        "REQUESTED_SERVER_NAME": common.tls_properties.tls_sni_hostname or "-",
        "ROUTE_NAME": common.route_name or "-",
    }
    return fields | (_tcp_fields(told.entry) if told.tcp else _http_fields(told.entry))


def _tcp_fields(entry: Any) -> dict[str, str]:
    connection = entry.connection_properties
    return {
        "RESPONSE_CODE": "0",
        "BYTES_RECEIVED": str(connection.received_bytes),
        "BYTES_SENT": str(connection.sent_bytes),
    }


def _http_fields(entry: Any) -> dict[str, str]:
    request, response = entry.request, entry.response
    return {
        "METHOD": m.base_pb2.RequestMethod.Name(request.request_method) if request.request_method else "-",
        "PATH": request.original_path or request.path or "-",
        "PROTOCOL": _PROTOCOLS.get(entry.protocol_version, "-"),
        "RESPONSE_CODE": str(response.response_code.value),
        "RESPONSE_CODE_DETAILS": response.response_code_details or "-",
        "BYTES_RECEIVED": str(request.request_body_bytes),
        "BYTES_SENT": str(response.response_body_bytes),
        "UPSTREAM_SERVICE_TIME": response.response_headers.get("x-envoy-upstream-service-time", "-"),
        "X_FORWARDED_FOR": request.forwarded_for or "-",
        "USER_AGENT": request.user_agent or "-",
        "REQUEST_ID": request.request_id or "-",
        "AUTHORITY": request.authority or "-",
    }


def _short_flags(flags: Any) -> str:
    found = [short for short, field in FLAG_FIELDS.items() if getattr(flags, field)]
    if flags.HasField("unauthorized_details"):
        found.append("UAEX")
    return ",".join(found)


def _flags(short: str) -> list[dict[str, str]]:
    if short == "-":
        return []
    words = flag_words(short)
    return [{"flag": flag, "words": said} for flag, said in zip(short.split(","), words, strict=True)]


def _side(node_id: str, cluster: str) -> str:
    if node_id.startswith("router~"):
        return "gateway"
    name = parse_cluster_name(cluster)
    return "inbound" if name is not None and name.direction is TrafficDirection.INBOUND else "outbound"


def _address(message: Any) -> str:
    if not message.HasField("socket_address"):
        return "-"
    address = message.socket_address
    host = f"[{address.address}]" if ":" in address.address else address.address
    return f"{host}:{address.port_value}"


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
