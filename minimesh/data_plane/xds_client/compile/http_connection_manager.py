"""HttpConnectionManager messages -> `http.hcm_config` and the factory of its connections' protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import (
    ClientCertDetails,
    Codec,
    EscapedSlashes,
    ForwardClientCert,
    HttpConnectionManagerConfig,
    ServerHeader,
)
from minimesh.data_plane.network.http2_options import Http2Options
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log import value_formatter
from minimesh.data_plane.xds_client.compile.access_log import compile_access_logs, name_wire_bytes
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.http2_options import compile_http2_options
from minimesh.data_plane.xds_client.compile.http_filters import (
    compile_http_filters,
    route_filter_compiler,
)
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.data_plane.xds_client.compile.route_environment import by_number, optional_seconds

_MANAGER = frozenset(
    {
        "access_log",
        "add_user_agent",
        "always_set_request_id_in_response",
        "codec_type",
        "common_http_protocol_options",
        "delayed_close_timeout",
        "drain_timeout",
        "forward_client_cert_details",
        "generate_request_id",
        "http2_protocol_options",
        "http_filters",
        "http_protocol_options",
        "max_request_headers_kb",
        "merge_slashes",
        "normalize_path",
        "path_with_escaped_slashes_action",
        "preserve_external_request_id",
        "proxy_100_continue",
        "rds",
        "request_headers_timeout",
        "request_timeout",
        "route_config",
        "scheme_header_transformation",
        "server_header_transformation",
        "server_name",
        "set_current_client_cert_details",
        "skip_xff_append",
        "stat_prefix",
        "stream_error_on_invalid_http_message",
        "stream_idle_timeout",
        "strip_any_host_port",
        "strip_matching_host_port",
        "strip_trailing_host_dot",
        "upgrade_configs",
        "use_remote_address",
        "via",
        "xff_num_trusted_hops",
    }
)
_CODECS = {"AUTO": Codec.AUTO, "HTTP1": Codec.HTTP1, "HTTP2": Codec.HTTP2}
_SERVER_HEADERS = (ServerHeader.OVERWRITE, ServerHeader.APPEND_IF_ABSENT, ServerHeader.PASS_THROUGH)
_ESCAPED_SLASHES = (
    EscapedSlashes.KEEP_UNCHANGED,  # IMPLEMENTATION_SPECIFIC_DEFAULT
    EscapedSlashes.KEEP_UNCHANGED,
    EscapedSlashes.REJECT_REQUEST,
    EscapedSlashes.UNESCAPE_AND_REDIRECT,
    EscapedSlashes.UNESCAPE_AND_FORWARD,
)
_CLIENT_CERTIFICATES = (
    ForwardClientCert.SANITIZE,
    ForwardClientCert.FORWARD_ONLY,
    ForwardClientCert.APPEND_FORWARD,
    ForwardClientCert.SANITIZE_SET,
    ForwardClientCert.ALWAYS_FORWARD_ONLY,
)


@dataclass(frozen=True, slots=True)
class CompiledConnectionManager:
    """A connection manager ready to serve."""

    manager: ConnectionManager
    route_config: RouteConfigHolder
    route_config_name: str
    """The name to ask RDS for; empty when the routes are in the listener itself."""
    inline_routes: Any = None
    """The RouteConfiguration message inside the listener, for /config_dump."""


def compile_http_connection_manager(
    message: Any,
    path: str,
    context: CompileContext,
    *,
    buffer_limit_bytes: int,
    listener_stat_prefix: str = "",
) -> CompiledConnectionManager:
    """One HttpConnectionManager. Raises CompileError."""
    refuse_unsupported(message, path, _MANAGER)
    codec = message.CodecType.Name(message.codec_type)
    if codec not in _CODECS:
        raise CompileError(join(path, "codec_type"), f"{codec}: not supported")
    if not message.stat_prefix:
        raise CompileError(join(path, "stat_prefix"), "must not be empty")
    holder, name = _route_config(message, path, context)
    config = replace(
        _config(message, path, context, holder, buffer_limit_bytes), listener_stat_prefix=listener_stat_prefix
    )
    inline = message.route_config if message.HasField("route_config") else None
    return CompiledConnectionManager(ConnectionManager(config), holder, name, inline)


def _route_config(message: Any, path: str, context: CompileContext) -> tuple[RouteConfigHolder, str]:
    kind = message.WhichOneof("route_specifier")
    if kind == "rds":
        name = message.rds.route_config_name
        source = message.rds.config_source
        if source.WhichOneof("config_source_specifier") not in ("ads", None):
            raise CompileError(join(path, "rds.config_source"), "only ads is supported")
        return context.route_config(name), name
    if kind != "route_config":
        raise CompileError(path, "needs route_config or rds")
    where = join(path, "route_config")
    try:
        table = compile_route_configuration(
            message.route_config,
            context.clusters,
            find_cluster=context.find_cluster,
            compile_format=value_formatter,
            compile_filter_config=route_filter_compiler(context),
            runtime=context.runtime,
            validate_clusters=True,
        )
    except CompileError as error:
        raise CompileError(join(where, error.field) if error.field else where, error.reason) from None
    return RouteConfigHolder(table), ""


def _refuse_what_is_not_acted_on(message: Any, path: str) -> None:
    """Settings that would change how requests are treated, and that nothing here heeds: refused by name."""
    common, http1 = message.common_http_protocol_options, message.http_protocol_options
    given = {
        "common_http_protocol_options.headers_with_underscores_action": (
            common.headers_with_underscores_action != common.ALLOW
        ),
        "http_protocol_options.header_key_format": http1.HasField("header_key_format"),
        "add_user_agent": message.add_user_agent.value,
        "strip_matching_host_port": message.strip_matching_host_port,
        "strip_any_host_port": message.strip_any_host_port,
        "strip_trailing_host_dot": message.strip_trailing_host_dot,
        "http_protocol_options.allow_absolute_url": not _bool_or(http1, "allow_absolute_url", default=True),
    }
    for field, is_set in given.items():
        if is_set:
            raise CompileError(join(path, field), "not supported")


def _config(
    message: Any, path: str, context: CompileContext, holder: RouteConfigHolder, buffer_limit_bytes: int
) -> HttpConnectionManagerConfig:
    common, http1 = message.common_http_protocol_options, message.http_protocol_options
    common_path = join(path, "common_http_protocol_options")
    _refuse_what_is_not_acted_on(message, path)
    filters = compile_http_filters(
        message.http_filters, join(path, "http_filters"), context, message.stat_prefix
    )
    return HttpConnectionManagerConfig(
        stat_prefix=message.stat_prefix,
        route_config=holder,
        stats=context.stats,
        server_name=message.server_name or "envoy",
        server_header=by_number(
            _SERVER_HEADERS, message.server_header_transformation, join(path, "server_header_transformation")
        ),
        via=message.via,
        use_remote_address=message.use_remote_address.value,
        xff_num_trusted_hops=message.xff_num_trusted_hops,
        skip_xff_append=message.skip_xff_append,
        generate_request_id=_bool_or(message, "generate_request_id", default=True),
        preserve_external_request_id=message.preserve_external_request_id,
        always_set_request_id_in_response=message.always_set_request_id_in_response,
        forward_client_cert=by_number(
            _CLIENT_CERTIFICATES,
            message.forward_client_cert_details,
            join(path, "forward_client_cert_details"),
        ),
        client_cert_details=_client_cert_details(message.set_current_client_cert_details),
        scheme_to_overwrite=message.scheme_header_transformation.scheme_to_overwrite,
        normalize_path=message.normalize_path.value,
        merge_slashes=message.merge_slashes,
        escaped_slashes=by_number(
            _ESCAPED_SLASHES,
            message.path_with_escaped_slashes_action,
            join(path, "path_with_escaped_slashes_action"),
        ),
        accept_http_10=http1.accept_http_10,
        default_host_for_http_10=http1.default_host_for_http_10,
        proxy_100_continue=message.proxy_100_continue,
        stream_error_on_invalid_http_message=message.stream_error_on_invalid_http_message.value,
        http1_trailers=http1.enable_trailers,
        max_request_headers_bytes=(message.max_request_headers_kb.value or 60) * 1024,
        max_headers_count=common.max_headers_count.value or 100,
        max_requests_per_connection=common.max_requests_per_connection.value,
        upgrade_types=_upgrade_types(message, path),
        codec=_CODECS[message.CodecType.Name(message.codec_type)],
        http2=_http2_options(message, path),
        max_connection_duration_s=_seconds_or(common, "max_connection_duration", common_path, 0.0),
        max_stream_duration_s=_seconds_or(common, "max_stream_duration", common_path, 0.0),
        idle_timeout_s=_seconds_or(common, "idle_timeout", common_path, 3600.0),
        stream_idle_timeout_s=_seconds_or(message, "stream_idle_timeout", path, 300.0),
        request_timeout_s=_seconds_or(message, "request_timeout", path, 0.0),
        request_headers_timeout_s=_seconds_or(message, "request_headers_timeout", path, 0.0),
        drain_timeout_s=_seconds_or(message, "drain_timeout", path, 5.0),
        delayed_close_timeout_s=_seconds_or(message, "delayed_close_timeout", path, 1.0),
        filters=filters.filters,
        suppress_envoy_headers=filters.suppress_envoy_headers,
        access_logs=compile_access_logs(message.access_log, join(path, "access_log"), context),
        meters_bytes=name_wire_bytes(message.access_log),
        buffer_limit_bytes=buffer_limit_bytes,
    )


def _http2_options(message: Any, path: str) -> Http2Options:
    """Its own word on malformed messages counts more than that for all protocols."""
    source = message.http2_protocol_options
    options = compile_http2_options(source, join(path, "http2_protocol_options"))
    if source.HasField("override_stream_error_on_invalid_http_message"):
        return options
    for_all = message.stream_error_on_invalid_http_message.value
    return replace(
        options, stream_error_on_invalid_message=options.stream_error_on_invalid_message or for_all
    )


def _upgrade_types(message: Any, path: str) -> frozenset[str]:
    types = set()
    for index, upgrade in enumerate(message.upgrade_configs):
        where = f"{join(path, 'upgrade_configs')}[{index}]"
        refuse_unsupported(upgrade, where, frozenset({"upgrade_type", "enabled"}))
        if _bool_or(upgrade, "enabled", default=True):
            types.add(upgrade.upgrade_type.lower())
    return frozenset(types)


def _client_cert_details(message: Any) -> ClientCertDetails:
    return ClientCertDetails(
        subject=message.subject.value,
        cert=message.cert,
        chain=message.chain,
        dns=message.dns,
        uri=message.uri,
    )


def _bool_or(message: Any, field: str, *, default: bool) -> bool:
    return bool(getattr(message, field).value) if message.HasField(field) else default


def _seconds_or(message: Any, field: str, path: str, default_s: float) -> float:
    value_s = optional_seconds(message, field, path)
    return default_s if value_s is None else value_s
