"""The access log: who is logged, how, and where to.

Formats are compiled by `format_compiler` when configuration arrives; `log` runs one generated function and
hands the line to a sink that writes in batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from minimesh.data_plane.telemetry.access_log_file import AccessLogFile as AccessLogFile
from minimesh.data_plane.telemetry.format_compiler import Formatter as Formatter
from minimesh.data_plane.telemetry.format_compiler import compile_json_format as compile_json_format
from minimesh.data_plane.telemetry.format_compiler import compile_text_format as compile_text_format
from minimesh.data_plane.telemetry.format_compiler import value_formatter as value_formatter
from minimesh.data_plane.telemetry.format_language import FormatError as FormatError
from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: Istio's default line (mesh setting accessLogFile without accessLogFormat): 22 fields.
ISTIO_DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "
    '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% '
    '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% '
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% "
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
#: Envoy's own default line, for a file access log without a format.
ENVOY_DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% '
    "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
    '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" '
    '"%UPSTREAM_HOST%"\n'
)

#: Whether this stream is to be logged at all.
LogFilter = Callable[[StreamInfo], bool]


class LogSink(Protocol):
    """Where lines go."""

    def write(self, line: str, /) -> None: ...


class AccessLogger(Protocol):
    """Is told of every finished stream."""

    def log(self, info: StreamInfo) -> None: ...


class AccessLog:
    """One configured access log."""

    __slots__ = ("_accepts", "_format", "_write")

    def __init__(self, formatter: Formatter, sink: LogSink, accepts: LogFilter | None = None) -> None:
        self._format = formatter
        self._write = sink.write
        self._accepts = accepts

    def log(self, info: StreamInfo) -> None:
        """Write the line of a finished stream, unless the filter declines it."""
        accepts = self._accepts
        if accepts is None or accepts(info):
            self._write(self._format(info))
