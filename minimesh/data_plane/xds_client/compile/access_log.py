"""AccessLog messages -> `telemetry.access_log.AccessLog`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from minimesh.data_plane.routing.regex import Regex
from minimesh.data_plane.runtime import Runtime
from minimesh.data_plane.telemetry import access_log_filters as filters
from minimesh.data_plane.telemetry.access_log import (
    ENVOY_DEFAULT_FORMAT,
    AccessLog,
    AccessLogger,
    FormatError,
    Formatter,
    LogFilter,
    compile_json_format,
    compile_text_format,
)
from minimesh.data_plane.telemetry.access_log_batch import BatchedAccessLog
from minimesh.data_plane.telemetry.operators.outcome import LONG_FLAGS
from minimesh.data_plane.xds_client.access_log_entries import LoggedHeaders
from minimesh.data_plane.xds_client.access_log_service import ServiceSettings
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import struct_to_plain
from minimesh.data_plane.xds_client.compile.match import compile_fraction, compile_header_matchers
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds, wire_text
from minimesh.xds import messages as m

_STREAMS = {
    m.stream_access_log_pb2.StdoutAccessLog.DESCRIPTOR.full_name: (
        m.stream_access_log_pb2.StdoutAccessLog,
        "/dev/stdout",
    ),
    m.stream_access_log_pb2.StderrAccessLog.DESCRIPTOR.full_name: (
        m.stream_access_log_pb2.StderrAccessLog,
        "/dev/stderr",
    ),
}
_COMPARISONS = ("EQ", "GE", "LE", "NE")


def compile_access_logs(
    messages: Sequence[Any], path: str, context: CompileContext
) -> tuple[AccessLogger, ...]:
    """All logs of a listener, connection manager or TCP proxy. Raises CompileError."""
    return tuple(_access_log(log, f"{path}[{index}]", context) for index, log in enumerate(messages))


#: Operators that are counted for, as they stand in a format.
_METERED = re.compile(rb"%(?:UPSTREAM_|DOWNSTREAM_)[A-Z_]*BYTES_|%(?:REQUEST|RESPONSE)_[A-Z]+_BYTES%")


def name_wire_bytes(messages: Sequence[Any]) -> bool:
    """Whether the format of any of these logs tells of bytes on the wire: they are counted for those alone.

    A log service is told of them where another log has them counted: too few want them for all to pay.
    """
    return any(_METERED.search(log.typed_config.value) for log in messages)


def _access_log(message: Any, path: str, context: CompileContext) -> AccessLogger:
    where = join(path, "typed_config")
    accepts = (
        _filter(message.filter, join(path, "filter"), context.runtime) if message.HasField("filter") else None
    )
    service = _service(message, where, context)
    if service is not None:
        return BatchedAccessLog(context.access_log_services.batch(service, context.stats), accepts)
    file_path, formatter = _destination(message, where)
    try:
        sink = context.log_files.open(context.access_log_override or file_path)
    except OSError as error:
        raise CompileError(where, f"unable to open file '{file_path}': {error.strerror}") from None
    return AccessLog(formatter, sink, accepts)


_SERVICES = {
    m.grpc_access_log_pb2.HttpGrpcAccessLogConfig.DESCRIPTOR.full_name: (
        m.grpc_access_log_pb2.HttpGrpcAccessLogConfig
    ),
    m.grpc_access_log_pb2.TcpGrpcAccessLogConfig.DESCRIPTOR.full_name: (
        m.grpc_access_log_pb2.TcpGrpcAccessLogConfig
    ),
}
_COMMON_SERVICE = frozenset(
    # Batches are bounded by the number of their entries, not by bytes.
    {"log_name", "grpc_service", "transport_api_version", "buffer_flush_interval", "buffer_size_bytes"}
)
_FLUSH_INTERVAL_S = 1.0


def _service(message: Any, path: str, context: CompileContext) -> ServiceSettings | None:
    """The access-log service that a log goes to; None when it goes to a file."""
    cls = _SERVICES.get(message.typed_config.TypeName())
    if cls is None:
        return None
    config = cls()
    message.typed_config.Unpack(config)
    common, where = config.common_config, join(path, "common_config")
    refuse_unsupported(common, where, _COMMON_SERVICE)
    service = common.grpc_service
    if service.WhichOneof("target_specifier") != "envoy_grpc":
        raise CompileError(join(where, "grpc_service"), "only envoy_grpc is supported")
    cluster = service.envoy_grpc.cluster_name
    interval_s = optional_seconds(common, "buffer_flush_interval", where)
    tcp = cls is m.grpc_access_log_pb2.TcpGrpcAccessLogConfig
    return ServiceSettings(
        log_name=common.log_name,
        handle=context.clusters(cluster),
        cluster=cluster,
        flush_interval_s=_FLUSH_INTERVAL_S if interval_s is None else interval_s,
        tcp=tcp,
        headers=LoggedHeaders() if tcp else _logged_headers(config),
    )


def _logged_headers(config: Any) -> LoggedHeaders:
    return LoggedHeaders(
        *(
            tuple(wire_text(name).lower() for name in names)
            for names in (
                config.additional_request_headers_to_log,
                config.additional_response_headers_to_log,
                config.additional_response_trailers_to_log,
            )
        )
    )


def _destination(message: Any, path: str) -> tuple[str, Formatter]:
    """Where a log goes and how its lines look."""
    kind = message.typed_config.TypeName()
    if kind in _STREAMS:
        cls, file_path = _STREAMS[kind]
        config = cls()
    else:
        config = m.file_access_log_pb2.FileAccessLog()
        if kind != config.DESCRIPTOR.full_name:
            raise CompileError(path, f"access log {message.name or kind!r}: not supported")
        file_path = ""
    message.typed_config.Unpack(config)
    refuse_unsupported(
        config, path, frozenset({"path", "format", "json_format", "typed_json_format", "log_format"})
    )
    file_path = file_path or config.path
    try:
        return file_path, _formatter(config, path)
    except FormatError as error:
        raise CompileError(join(path, "log_format"), str(error)) from None


def _formatter(config: Any, path: str) -> Formatter:
    if config.HasField("log_format"):
        return _substitution_format(config.log_format, join(path, "log_format"))
    kind = config.WhichOneof("access_log_format")
    if kind == "format" and config.format:
        return compile_text_format(config.format)
    if kind in ("json_format", "typed_json_format"):
        return compile_json_format(struct_to_plain(getattr(config, kind)))
    return compile_text_format(ENVOY_DEFAULT_FORMAT)


def _substitution_format(message: Any, path: str) -> Formatter:
    refuse_unsupported(
        message,
        path,
        # json_format_options only asks for the sorted keys that there are anyway.
        frozenset(
            {"text_format", "text_format_source", "json_format", "omit_empty_values", "json_format_options"}
        ),
    )
    omit = message.omit_empty_values
    if message.HasField("json_format"):
        return compile_json_format(struct_to_plain(message.json_format), omit_empty_values=omit)
    if message.HasField("text_format_source"):
        source = message.text_format_source
        refuse_unsupported(source, join(path, "text_format_source"), frozenset({"inline_string"}))
        return compile_text_format(source.inline_string, omit_empty_values=omit)
    return compile_text_format(message.text_format or ENVOY_DEFAULT_FORMAT, omit_empty_values=omit)


# --- filters --------------------------------------------------------------------------------------


def _filter(message: Any, path: str, runtime: Runtime) -> LogFilter:
    kind = message.WhichOneof("filter_specifier") or ""
    compile_kind = _FILTERS.get(kind)
    if compile_kind is None:
        raise CompileError(join(path, kind), "not supported")
    return compile_kind(getattr(message, kind), join(path, kind), runtime)


def _comparison(message: Any, path: str) -> tuple[str, int]:
    if not 0 <= message.op < len(_COMPARISONS):
        raise CompileError(join(path, "op"), f"unknown value {message.op}")
    return _COMPARISONS[message.op], int(message.value.default_value)


def _status_code(message: Any, path: str, runtime: Runtime) -> LogFilter:
    return filters.status_code(*_comparison(message.comparison, join(path, "comparison")))


def _duration(message: Any, path: str, runtime: Runtime) -> LogFilter:
    return filters.duration(*_comparison(message.comparison, join(path, "comparison")))


def _response_flags(message: Any, path: str, runtime: Runtime) -> LogFilter:
    for flag in message.flags:
        if flag not in LONG_FLAGS:
            raise CompileError(join(path, "flags"), f"unknown response flag {flag!r}")
    return filters.response_flags(message.flags)


def _not_health_check(message: Any, path: str, runtime: Runtime) -> LogFilter:
    return filters.not_health_check()


def _header(message: Any, path: str, runtime: Runtime) -> LogFilter:
    (matcher,) = compile_header_matchers([message.header], join(path, "header"))
    return filters.request_matches(matcher.matches)


def _runtime(message: Any, path: str, runtime: Runtime) -> LogFilter:
    percent = compile_fraction(message.percent_sampled, join(path, "percent_sampled"))
    share = runtime.share(message.runtime_key, *percent)
    return filters.sampled(share, by_request_id=not message.use_independent_randomness)


def _combined(message: Any, path: str, runtime: Runtime, *, every: bool) -> LogFilter:
    parts = [_filter(part, f"{path}.filters[{index}]", runtime) for index, part in enumerate(message.filters)]
    return filters.all_of(parts) if every else filters.any_of(parts)


def _extension(message: Any, path: str, runtime: Runtime) -> LogFilter:
    """A filter that is no part of the access log's own messages: CEL is the one there is."""
    where = join(path, "typed_config")
    config = m.cel_filter_pb2.ExpressionFilter()
    if message.typed_config.TypeName() != config.DESCRIPTOR.full_name:
        raise CompileError(where, f"access log filter {message.name!r}: not supported")
    message.typed_config.Unpack(config)
    refuse_unsupported(config, where, frozenset({"expression"}))
    # Few logs have one.
    from minimesh.data_plane.telemetry.cel import CelError, compile_condition

    try:
        return compile_condition(config.expression, _search)
    except CelError as error:
        raise CompileError(join(where, "expression"), str(error)) from None


def _search(pattern: str) -> Callable[[str], bool]:
    return Regex(f"(?s:.*)(?:{pattern})(?s:.*)").fullmatch


_FILTERS: dict[str, Callable[[Any, str, Runtime], LogFilter]] = {
    "status_code_filter": _status_code,
    "duration_filter": _duration,
    "response_flag_filter": _response_flags,
    "not_health_check_filter": _not_health_check,
    "header_filter": _header,
    "runtime_filter": _runtime,
    "and_filter": functools.partial(_combined, every=True),
    "or_filter": functools.partial(_combined, every=False),
    "extension_filter": _extension,
}
