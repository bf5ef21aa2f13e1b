"""Operators that say how it went: status, flags, details, what gRPC says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators.expression import (
    Builder,
    Expression,
    nothing,
    number_of,
    text_of,
)
from minimesh.data_plane.telemetry.operators.headers import first_value
from minimesh.data_plane.telemetry.stream_info import StreamInfo

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


def _response_code_details(command: Command) -> Expression:
    if command.argument == "ALLOW_WHITESPACES":
        return text_of("response_code_details")
    # Spaces would break up a line whose fields are separated by them.
    return Expression("(d.replace(' ', '_') if (d := i.response_code_details) else None)")


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


PLAIN: dict[str, Expression] = {
    "RESPONSE_CODE": number_of("response_code"),
    "RESPONSE_FLAGS": _FLAGS,
    "RESPONSE_FLAGS_LONG": _LONG_FLAGS,
    "CONNECTION_TERMINATION_DETAILS": text_of("connection_termination_details"),
    "GRPC_STATUS_NUMBER": Expression("grpc_status(i)", kind="number", bindings={"grpc_status": grpc_status}),
    "LOCAL_REPLY_BODY": Expression("''", nullable=False),
    "ACCESS_LOG_TYPE": Expression("log_type(i)", nullable=False, bindings={"log_type": log_type}),
    "CUSTOM_FLAGS": nothing(),
}
WITH_ARGUMENT: dict[str, Builder] = {
    "RESPONSE_CODE_DETAILS": _response_code_details,
    "GRPC_STATUS": _grpc_status,
}
