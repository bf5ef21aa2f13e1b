"""What every command operator of the access log means: a Python expression over one StreamInfo, `i`.

An operator yields `str`, a number or None ("nothing to say": `-` in text, null in JSON). The expressions
are pasted into a generated function by `format_compiler`; what is not a plain expression (a header look-up,
a time format) is bound to a name there. Operators that Envoy knows and that can never have a value here
(TLS fingerprints before there is TLS, for instance) yield None; names unknown to Envoy are refused with its
words.
"""

from __future__ import annotations

import functools
import itertools
import os
import platform
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.stream_info import HeaderLookup, StreamInfo
from minimesh.data_plane.telemetry.time_format import DEFAULT_FORMAT, DEFAULT_LOCAL_FORMAT, TimeFormat


@dataclass(frozen=True, slots=True)
class Expression:
    """Python source that yields an operator's value, and what it needs.

    The source holds no backslash, no double quote and no text of the user's (that is bound to a name), so
    that it can stand inside an f-string of every Python version.
    """

    source: str
    #: Whether the value may be None.
    nullable: bool = True
    #: Whether an empty text means None too.
    empty_is_none: bool = False
    kind: Literal["text", "number", "any"] = "text"
    #: Objects the source refers to by name, beside `i`.
    bindings: Mapping[str, object] = field(default_factory=dict)


def expression(command: Command) -> Expression:
    """The meaning of one command. Raises FormatError, worded as Envoy's, when there is none."""
    plain = _PLAIN.get(command.name)
    if plain is not None:
        if command.argument or command.max_length is not None:
            raise FormatError(f"{command.name} does not take any parameters or length")
        return plain
    build = _WITH_ARGUMENT.get(command.name)
    if build is None:
        raise FormatError(f"Not supported field in StreamInfo: {command.name}")
    built = build(command)
    return built if command.max_length is None else _truncated(built, command.max_length)


def _truncated(inner: Expression, length: int) -> Expression:
    return Expression(f"cut({inner.source}, {length})", bindings={**inner.bindings, "cut": _cut})


_names = itertools.count()


def _bound(value: object) -> tuple[str, dict[str, object]]:
    """A name for `value` that no other expression uses, and its binding."""
    name = f"bound_{next(_names)}"
    return name, {name: value}


def _cut(value: Any, length: int) -> str | None:
    return None if value is None else str(value)[:length]


# --- attributes -----------------------------------------------------------------------------------


def _text(attribute: str) -> Expression:
    """A text for which empty means unknown."""
    return Expression(f"i.{attribute}", empty_is_none=True)


def _number(attribute: str) -> Expression:
    return Expression(f"i.{attribute}", nullable=False, kind="number")


def _maybe_number(attribute: str) -> Expression:
    return Expression(f"i.{attribute}", kind="number")


def _ms_between(start: str, end: str) -> Expression:
    return Expression(f"ms_between(i.{start}, i.{end})", kind="number", bindings={"ms_between": ms_between})


#: Differences of floats fall short of a whole millisecond by less than this (in milliseconds).
_ROUNDING = 1e-6


def ms_between(start: float | None, end: float | None) -> int | None:
    """Whole milliseconds from one moment to another (seconds); None when either never came."""
    return None if start is None or end is None else int((end - start) * 1000 + _ROUNDING)


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


def _nothing() -> Expression:
    return Expression("None")


def _tls(key: str) -> Expression:
    return Expression(f"tls_fact(i.tls, '{key}')", bindings={"tls_fact": _tls_fact})


def _tls_fact(facts: dict[str, str] | None, key: str) -> str | None:
    return facts.get(key) if facts else None


#: Envoy's short response flags and what %RESPONSE_FLAGS_LONG% calls them.
LONG_FLAGS = {
    "LH": "FailedLocalHealthCheck",
    "UH": "NoHealthyUpstream",
    "UT": "UpstreamRequestTimeout",
    "LR": "LocalReset",
    "UR": "UpstreamRemoteReset",
    "UF": "UpstreamConnectionFailure",
    "UC": "UpstreamConnectionTermination",
    "UO": "UpstreamOverflow",
    "NR": "NoRouteFound",
    "DI": "DelayInjected",
    "FI": "FaultInjected",
    "RL": "RateLimited",
    "UAEX": "UnauthorizedExternalService",
    "RLSE": "RateLimitServiceError",
    "DC": "DownstreamConnectionTermination",
    "URX": "UpstreamRetryLimitExceeded",
    "SI": "StreamIdleTimeout",
    "IH": "InvalidEnvoyRequestHeaders",
    "DPE": "DownstreamProtocolError",
    "UMSDR": "UpstreamMaxStreamDurationReached",
    "RFCF": "ResponseFromCacheFilter",
    "NFCF": "NoFilterConfigFound",
    "DT": "DurationTimeout",
    "UPE": "UpstreamProtocolError",
    "NC": "NoClusterFound",
    "OM": "OverloadManagerTerminated",
    "DF": "DnsResolutionFailed",
    "DO": "DropOverload",
    "DR": "DownstreamRemoteReset",
    "UDO": "UnconditionalDropOverload",
}


@functools.lru_cache(maxsize=256)
def long_flags(short: str) -> str | None:
    """The long names of comma-joined short flags; None for no flags."""
    return ",".join(LONG_FLAGS.get(flag, flag) for flag in short.split(",")) if short else None


_LONG_FLAGS = Expression(
    "(long_flags(i.response_flags) or '-')", nullable=False, bindings={"long_flags": long_flags}
)
# Envoy's text for a request without flags is "-" even in JSON, where other absent facts are null.
_FLAGS = Expression("(i.response_flags or '-')", nullable=False)
_DURATION = Expression(
    "(int((t - i.started_at) * 1000 + 1e-6) if (t := i.completed_at) is not None else None)", kind="number"
)
_TLS_FACTS = (
    "TLS_SESSION_ID", "TLS_CIPHER", "TLS_VERSION", "PEER_FINGERPRINT_256", "PEER_FINGERPRINT_1",
    "PEER_SERIAL", "PEER_CERT", "PEER_SUBJECT", "PEER_ISSUER", "PEER_URI_SAN", "PEER_DNS_SAN",
    "PEER_IP_SAN", "PEER_EMAIL_SAN", "PEER_OTHERNAME_SAN", "LOCAL_URI_SAN", "LOCAL_DNS_SAN",
    "LOCAL_IP_SAN", "LOCAL_EMAIL_SAN", "LOCAL_OTHERNAME_SAN", "LOCAL_SUBJECT",
)  # fmt: skip

# --- headers --------------------------------------------------------------------------------------

#: Request headers that have an attribute of their own, so that the usual formats look nothing up.
_REQUEST_ATTRIBUTES = {
    ":method": "method",
    ":path": "path",
    ":authority": "authority",
    "host": "authority",
    "user-agent": "user_agent",
    "x-forwarded-for": "x_forwarded_for",
    "x-request-id": "request_id",
    "x-envoy-original-path": "original_path",
}


def first_value(head: HeaderLookup | None, name: str) -> str | None:
    """The first value of a header (Envoy logs only that one); None when it is absent."""
    if head is None:
        return None
    values = head.header_values(name)
    return values[0] if values else None


def _header_names(command: Command) -> list[str]:
    if not command.argument:
        raise FormatError(f"{command.name} requires parameters")
    names = command.argument.lower().split("?")
    if len(names) > 2:
        raise FormatError(f"More than 1 alternative header specified in token: {command.argument}")
    return names


def _request_header(command: Command) -> Expression:
    return _first_of([_one_request_header(name) for name in _header_names(command)])


def _one_request_header(name: str) -> Expression:
    attribute = _REQUEST_ATTRIBUTES.get(name)
    return Expression(f"i.{attribute}") if attribute else _looked_up("request", name)


def _response_header(command: Command) -> Expression:
    return _first_of([_one_response_header(name) for name in _header_names(command)])


def _one_response_header(name: str) -> Expression:
    if name == "x-envoy-upstream-service-time":
        return Expression("(str(n) if (n := i.upstream_service_time_ms) is not None else None)")
    if name == ":status":
        return Expression("(str(n) if (n := i.response_code) else None)")
    return _looked_up("response_headers", name)


def _response_trailer(command: Command) -> Expression:
    return _first_of([_looked_up("response_trailers", name) for name in _header_names(command)])


def _looked_up(head: str, name: str) -> Expression:
    bound, bindings = _bound(name)
    return Expression(f"first_value(i.{head}, {bound})", bindings={**bindings, "first_value": first_value})


def _first_of(choices: list[Expression]) -> Expression:
    if len(choices) == 1:
        return choices[0]
    first, second = choices
    return Expression(
        f"(h if (h := {first.source}) is not None else {second.source})",
        bindings={**first.bindings, **second.bindings},
    )


# --- paths and queries ----------------------------------------------------------------------------


def _path(command: Command) -> Expression:
    query, _, which = (command.argument or "").partition(":")
    if query not in ("", "WQ", "NQ"):
        raise FormatError(f"Invalid PATH option: '{query}', only 'WQ'/'NQ' are allowed")
    if which not in ("", "ORIG", "PATH", "ORIG_OR_PATH"):
        raise FormatError(f"Invalid PATH option: '{which}', only 'ORIG'/'PATH'/'ORIG_OR_PATH' are allowed")
    source = {
        "ORIG": "i.original_path",
        "PATH": "i.path",
    }.get(which, "(i.path if i.original_path is None else i.original_path)")
    if query != "NQ":
        return Expression(source)
    return Expression(f"(p.partition('?')[0] if (p := {source}) is not None else None)")


def _query_parameter(command: Command) -> Expression:
    if not command.argument:
        raise FormatError("QUERY_PARAM requires parameters")
    bound, bindings = _bound(command.argument)
    return Expression(
        f"query_parameter(i.path, {bound})", bindings={**bindings, "query_parameter": query_parameter}
    )


def query_parameter(path: str | None, name: str) -> str | None:
    """The first value of a query parameter, percent-decoded; None when it is absent."""
    query = (path or "").partition("?")[2]
    for key, value in parse_qsl(query, keep_blank_values=True, encoding="latin-1"):
        if key == name:
            return value
    return None


def _query_parameters(command: Command) -> Expression:
    if command.argument not in (None, "", "ORIG", "DECODED"):
        raise FormatError(f"Invalid QUERY_PARAMS option: '{command.argument}'")
    return Expression("(i.path or '').partition('?')[2]", empty_is_none=True)


# --- times ----------------------------------------------------------------------------------------

#: Points of %COMMON_DURATION(START:END:PRECISION)%.
_TIME_POINTS = {
    "DS_RX_BEG": "started_at",
    "DS_RX_END": "last_downstream_rx_at",
    "US_CX_BEG": "upstream_connect_started_at",
    "US_CX_END": "upstream_connect_finished_at",
    "US_TX_BEG": "first_upstream_tx_at",
    "US_TX_END": "upstream_tx_done_at",
    "US_RX_BEG": "first_upstream_rx_at",
    "US_RX_BODY_BEG": "first_upstream_rx_at",
    "US_RX_END": "upstream_rx_done_at",
    "DS_TX_BEG": "downstream_tx_begun_at",
    "DS_TX_END": "downstream_tx_done_at",
}
_UNITS_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def _common_duration(command: Command) -> Expression:
    words = (command.argument or "").split(":")
    if len(words) not in (2, 3):
        raise FormatError(f"Invalid common duration configuration: {command.argument}.")
    unit = words[2] if len(words) == 3 else "ms"
    scale = _UNITS_PER_SECOND.get(unit)
    if scale is None:
        raise FormatError(f"Invalid common duration precision: {unit}.")
    start, end = (_TIME_POINTS.get(word) for word in words[:2])
    if start is None or end is None:  # a point that a filter of Envoy could set, and none here does
        return _nothing()
    return Expression(
        f"(int((e - s) * {scale}) if (s := i.{start}) is not None and (e := i.{end}) is not None else None)",
        kind="number",
    )


def _start_time(command: Command) -> Expression:
    return _time(command, "i.start_time", local=False)


def _start_time_local(command: Command) -> Expression:
    return _time(command, "i.start_time", local=True)


def _emit_time(command: Command) -> Expression:
    return _time(command, "now()", local=False)


def _emit_time_local(command: Command) -> Expression:
    return _time(command, "now()", local=True)


def _time(command: Command, moment: str, *, local: bool) -> Expression:
    if command.max_length is not None:
        raise FormatError(f"{command.name} does not allow length to be specified.")
    text = command.argument or (DEFAULT_LOCAL_FORMAT if local else DEFAULT_FORMAT)
    bound, bindings = _bound(TimeFormat(text, local=local))
    return Expression(f"{bound}({moment})", nullable=False, bindings={**bindings, "now": time.time})


def _certificate_time(command: Command) -> Expression:
    TimeFormat(command.argument or DEFAULT_FORMAT)
    return _tls(command.name.partition("_")[2])


# --- metadata, filter state, the rest -------------------------------------------------------------


def _dynamic_metadata(command: Command) -> Expression:
    return _metadata_value("dynamic_metadata", command.argument or "")


def _cluster_metadata(command: Command) -> Expression:
    return _metadata_value("upstream_cluster_metadata", command.argument or "")


def _upstream_metadata(command: Command) -> Expression:
    return _metadata_value("upstream_host_metadata", command.argument or "")


_METADATA_KINDS = {
    "DYNAMIC": "dynamic_metadata",
    "CLUSTER": "upstream_cluster_metadata",
    "ROUTE": "route_metadata",
    "UPSTREAM_HOST": "upstream_host_metadata",
    "LISTENER": "listener_metadata",
    "LISTENER_FILTER_CHAIN": "listener_metadata",
    "VIRTUAL_HOST": "route_metadata",
}


def _metadata(command: Command) -> Expression:
    kind, _, path = (command.argument or "").partition(":")
    attribute = _METADATA_KINDS.get(kind)
    if attribute is None:
        raise FormatError(f"{kind} is not supported type of metadata")
    return _metadata_value(attribute, path)


def _metadata_value(attribute: str, argument: str) -> Expression:
    return _dug(attribute, tuple(argument.split(":")))


def _dug(attribute: str, path: tuple[str, ...]) -> Expression:
    bound, bindings = _bound(path)
    return Expression(f"dig(i.{attribute}, {bound})", kind="any", bindings={**bindings, "dig": dig})


def dig(tree: Any, path: tuple[str, ...]) -> Any:
    """Walk down nested mappings; None when the path leads nowhere. Whole floats become integers."""
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return int(tree) if isinstance(tree, float) and tree.is_integer() else tree


def _filter_state(command: Command) -> Expression:
    key, _, kind = (command.argument or "").partition(":")
    if not key:
        raise FormatError("Invalid filter state configuration, key cannot be empty.")
    if kind.partition(":")[0] not in ("", "PLAIN", "TYPED", "FIELD"):
        raise FormatError("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.")
    return _dug("filter_state", (key,))


def _upstream_filter_state(command: Command) -> Expression:
    _filter_state(command)
    return _nothing()


def _environment(command: Command) -> Expression:
    if not command.argument:
        raise FormatError("ENVIRONMENT requires parameters")
    bound, bindings = _bound(os.environ.get(command.argument))
    return Expression(bound, bindings=bindings)


def _response_code_details(command: Command) -> Expression:
    if command.argument == "ALLOW_WHITESPACES":
        return _text("response_code_details")
    # Spaces would break up a line whose fields are separated by them.
    return Expression("(d.replace(' ', '_') if (d := i.response_code_details) else None)")


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


#: gRPC status codes by number, in CAMEL_STRING spelling.
_GRPC_NAMES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip


_GRPC_UNKNOWN = 2
_GRPC_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


def grpc_status(info: StreamInfo) -> int | None:
    """How a gRPC call went: by trailers or headers, else by the HTTP status; None: it was no such call."""
    kind = first_value(info.request, "content-type") or ""
    if kind != "application/grpc" and not kind.startswith("application/grpc+"):
        return None
    text = first_value(info.response_trailers, "grpc-status") or first_value(
        info.response_headers, "grpc-status"
    )
    if text is not None:
        return int(text) if text.isdigit() else None
    code = info.response_code
    return _GRPC_OF_HTTP.get(code, _GRPC_UNKNOWN) if code else None


def _grpc_camel(info: StreamInfo) -> str | None:
    number = grpc_status(info)
    return _GRPC_NAMES[number] if number is not None and number < len(_GRPC_NAMES) else _as_text(number)


def _grpc_snake(info: StreamInfo) -> str | None:
    camel = _grpc_camel(info)
    if camel is None or camel == "OK":
        return camel
    return "".join(f"_{char}" if char.isupper() and at else char.upper() for at, char in enumerate(camel))


def _as_text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _grpc_status(command: Command) -> Expression:
    kind = command.argument or "CAMEL_STRING"
    by_kind: dict[str, Callable[[StreamInfo], Any]] = {
        "CAMEL_STRING": _grpc_camel,
        "SNAKE_STRING": _grpc_snake,
        "NUMBER": grpc_status,
    }
    if kind not in by_kind:
        raise FormatError(
            f"GrpcStatusFormatter only supports CAMEL_STRING, SNAKE_STRING or NUMBER. Got: {command.argument}"
        )
    name = f"grpc_{kind.lower()}"
    return Expression(
        f"{name}(i)", kind="number" if kind == "NUMBER" else "text", bindings={name: by_kind[kind]}
    )


def log_type(info: StreamInfo) -> str:
    """Which of Envoy's kinds of log a line belongs to."""
    if info.protocol:
        return "DownstreamEnd"
    return "NotSet" if info.response_code_details == "filter_chain_not_found" else "TcpConnectionEnd"


# --- the operators by name ------------------------------------------------------------------------

_PLAIN: dict[str, Expression] = {
    "PROTOCOL": _text("protocol"),
    "RESPONSE_CODE": _number("response_code"),
    "RESPONSE_FLAGS": _FLAGS,
    "RESPONSE_FLAGS_LONG": _LONG_FLAGS,
    "CONNECTION_TERMINATION_DETAILS": _text("connection_termination_details"),
    "BYTES_RECEIVED": _number("bytes_received"),
    "BYTES_SENT": _number("bytes_sent"),
    "BYTES_RETRANSMITTED": Expression("0", nullable=False, kind="number"),
    "PACKETS_RETRANSMITTED": Expression("0", nullable=False, kind="number"),
    "DOWNSTREAM_WIRE_BYTES_SENT": _number("downstream_bytes.wire_sent"),
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": _number("downstream_bytes.wire_received"),
    "DOWNSTREAM_HEADER_BYTES_SENT": _number("downstream_bytes.header_sent"),
    "DOWNSTREAM_HEADER_BYTES_RECEIVED": _number("downstream_bytes.header_received"),
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": _number("downstream_bytes.decompressed_header_sent"),
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": _number("downstream_bytes.decompressed_header_received"),
    "UPSTREAM_WIRE_BYTES_SENT": _number("upstream_bytes.wire_sent"),
    "UPSTREAM_WIRE_BYTES_RECEIVED": _number("upstream_bytes.wire_received"),
    "UPSTREAM_HEADER_BYTES_SENT": _number("upstream_bytes.header_sent"),
    "UPSTREAM_HEADER_BYTES_RECEIVED": _number("upstream_bytes.header_received"),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": _number("upstream_bytes.decompressed_header_sent"),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": _number("upstream_bytes.decompressed_header_received"),
    "REQUEST_HEADERS_BYTES": _number("request_headers_bytes"),
    "RESPONSE_HEADERS_BYTES": _number("response_headers_bytes"),
    "RESPONSE_TRAILERS_BYTES": _number("response_trailers_bytes"),
    "DURATION": _DURATION,
    "REQUEST_DURATION": _ms_between("started_at", "last_downstream_rx_at"),
    "REQUEST_TX_DURATION": _ms_between("started_at", "upstream_tx_done_at"),
    "RESPONSE_DURATION": _ms_between("started_at", "first_upstream_rx_at"),
    "RESPONSE_TX_DURATION": _ms_between("first_upstream_rx_at", "downstream_tx_done_at"),
    "UPSTREAM_CONNECTION_POOL_READY_DURATION": _ms_between("started_at", "upstream_connect_finished_at"),
    "DOWNSTREAM_HANDSHAKE_DURATION": _nothing(),
    "ROUNDTRIP_DURATION": _nothing(),
    "UPSTREAM_HOST": _text("upstream_host"),
    "UPSTREAM_HOSTS_ATTEMPTED": _text("upstream_host"),
    "UPSTREAM_HOST_NAMES_ATTEMPTED": _text("upstream_host"),
    "UPSTREAM_HOST_NAME": Expression("(i.upstream_host_name or i.upstream_host)", empty_is_none=True),
    "UPSTREAM_HOST_NAME_WITHOUT_PORT": Expression(
        "host_of(i.upstream_host_name or i.upstream_host)", bindings={"host_of": host_of}
    ),
    "UPSTREAM_CLUSTER": _text("upstream_cluster"),
    "UPSTREAM_CLUSTER_RAW": _text("upstream_cluster"),
    "UPSTREAM_LOCAL_ADDRESS": _text("upstream_local_address"),
    "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _host_of("upstream_local_address"),
    "UPSTREAM_LOCAL_PORT": _port_of("upstream_local_address"),
    "UPSTREAM_REMOTE_ADDRESS": Expression("(i.upstream_host if i.upstream_local_address else None)"),
    "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("upstream_host"),
    "UPSTREAM_REMOTE_PORT": _port_of("upstream_host"),
    "UPSTREAM_PROTOCOL": _text("upstream_protocol"),
    "UPSTREAM_CONNECTION_ID": _maybe_number("upstream_connection_id"),
    "UPSTREAM_TRANSPORT_FAILURE_REASON": _text("upstream_transport_failure_reason"),
    "UPSTREAM_REQUEST_ATTEMPT_COUNT": _number("upstream_request_attempt_count"),
    "UPSTREAM_LOCAL_CLOSE_REASON": _nothing(),
    "UPSTREAM_DETECTED_CLOSE_TYPE": Expression("('Normal' if i.upstream_host else None)"),
    "DOWNSTREAM_DETECTED_CLOSE_TYPE": Expression("'Normal'", nullable=False),
    "DOWNSTREAM_LOCAL_CLOSE_REASON": _text("downstream_local_close_reason"),
    "DOWNSTREAM_TRANSPORT_FAILURE_REASON": _text("downstream_transport_failure_reason"),
    "DOWNSTREAM_LOCAL_ADDRESS": _text("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": _host_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_PORT": _port_of("downstream_local_address"),
    "DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID": _nothing(),
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
    "DOWNSTREAM_REMOTE_ADDRESS": _text("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("downstream_remote_address"),
    "DOWNSTREAM_REMOTE_PORT": _port_of("downstream_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS": _text("downstream_direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": _host_of("downstream_direct_remote_address"),
    "DOWNSTREAM_DIRECT_REMOTE_PORT": _port_of("downstream_direct_remote_address"),
    "CONNECTION_ID": _maybe_number("connection_id"),
    "ROUTE_NAME": _text("route_name"),
    "VIRTUAL_CLUSTER_NAME": _text("virtual_cluster_name"),
    "FILTER_CHAIN_NAME": _text("filter_chain_name"),
    "STREAM_ID": _text("stream_id"),
    "UNIQUE_ID": Expression("str(new_id())", nullable=False, bindings={"new_id": uuid.uuid4}),
    "HOSTNAME": Expression("hostname", bindings={"hostname": platform.node() or None}),
    "ACCESS_LOG_TYPE": Expression("log_type(i)", nullable=False, bindings={"log_type": log_type}),
    "GRPC_STATUS_NUMBER": Expression("grpc_status(i)", kind="number", bindings={"grpc_status": grpc_status}),
    "LOCAL_REPLY_BODY": Expression("''", nullable=False),
    "TRACE_ID": _nothing(),
    "SPAN_ID": _nothing(),
    "CUSTOM_FLAGS": _nothing(),
    "TLS_JA3_FINGERPRINT": _nothing(),
    "TLS_JA4_FINGERPRINT": _nothing(),
    **{f"DOWNSTREAM_{fact}": _tls(fact) for fact in _TLS_FACTS},
    **{f"UPSTREAM_{fact}": _nothing() for fact in _TLS_FACTS},
}

_WITH_ARGUMENT: dict[str, Callable[[Command], Expression]] = {
    "REQ": _request_header,
    "REQUEST_HEADER": _request_header,
    "RESP": _response_header,
    "RESPONSE_HEADER": _response_header,
    "TRAILER": _response_trailer,
    "RESPONSE_TRAILER": _response_trailer,
    "PATH": _path,
    "QUERY_PARAM": _query_parameter,
    "QUERY_PARAMS": _query_parameters,
    "START_TIME": _start_time,
    "START_TIME_LOCAL": _start_time_local,
    "EMIT_TIME": _emit_time,
    "EMIT_TIME_LOCAL": _emit_time_local,
    "COMMON_DURATION": _common_duration,
    "DYNAMIC_METADATA": _dynamic_metadata,
    "CLUSTER_METADATA": _cluster_metadata,
    "UPSTREAM_METADATA": _upstream_metadata,
    "METADATA": _metadata,
    "FILTER_STATE": _filter_state,
    "UPSTREAM_FILTER_STATE": _upstream_filter_state,
    "ENVIRONMENT": _environment,
    "RESPONSE_CODE_DETAILS": _response_code_details,
    "REQUESTED_SERVER_NAME": _requested_server_name,
    "GRPC_STATUS": _grpc_status,
    "DOWNSTREAM_PEER_CERT_V_START": _certificate_time,
    "DOWNSTREAM_PEER_CERT_V_END": _certificate_time,
    "UPSTREAM_PEER_CERT_V_START": _certificate_time,
    "UPSTREAM_PEER_CERT_V_END": _certificate_time,
}
