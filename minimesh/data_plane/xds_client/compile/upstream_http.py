"""What a Cluster says about HTTP towards its hosts -> the HTTP part of `ClusterSettings`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, UpstreamProtocol
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.http2_options import compile_http2_options
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.host import Host

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_PROTOCOLS = frozenset({"http_protocol_options", "http2_protocol_options"})
_HTTP1, _HTTP2 = UpstreamProtocol.HTTP1, UpstreamProtocol.HTTP2
_CHOICES = {
    "explicit_http_config": _HTTP1,
    "use_downstream_protocol_config": UpstreamProtocol.AS_DOWNSTREAM,
    "auto_config": UpstreamProtocol.BY_ALPN,
}


def with_http_options(settings: ClusterSettings, message: Any, path: str) -> ClusterSettings:
    """The typed extension, else the older fields of the cluster itself. Raises CompileError."""
    where = join(path, "typed_extension_protocol_options")
    extensions = message.typed_extension_protocol_options
    for name in extensions:
        if name != _HTTP_OPTIONS:
            raise CompileError(f"{where}[{name}]", "not supported")
    if _HTTP_OPTIONS not in extensions:
        protocol = _HTTP2 if message.HasField("http2_protocol_options") else _HTTP1
        settings = _with_protocol(settings, protocol, message, path)
        return _with_common(settings, message.common_http_protocol_options, path)
    where = f"{where}[{_HTTP_OPTIONS}]"
    options = m.http_protocol_options_pb2.HttpProtocolOptions()
    if not extensions[_HTTP_OPTIONS].Unpack(options):
        raise CompileError(where, "is not of that type")
    choice = options.WhichOneof("upstream_protocol_options")
    if choice is None:
        raise CompileError(join(where, "upstream_protocol_options"), "must be set")
    chosen, at = getattr(options, choice), join(where, choice)
    refuse_unsupported(chosen, at, _PROTOCOLS)
    protocol = _CHOICES[choice]
    if protocol is _HTTP1 and chosen.HasField("http2_protocol_options"):
        protocol = _HTTP2
    if protocol is UpstreamProtocol.BY_ALPN and not _negotiates(message):
        raise CompileError(
            at, f"ALPN configured for cluster {message.name} which has a non-ALPN transport socket"
        )
    settings = _with_protocol(settings, protocol, chosen, at)
    upstream, at = options.upstream_http_protocol_options, join(where, "upstream_http_protocol_options")
    refuse_unsupported(upstream, at, frozenset({"auto_sni", "auto_san_validation"}))
    settings = replace(settings, auto_sni=upstream.auto_sni, auto_san_validation=upstream.auto_san_validation)
    return _with_common(settings, options.common_http_protocol_options, where)


def _with_protocol(
    settings: ClusterSettings, protocol: UpstreamProtocol, options: Any, path: str
) -> ClusterSettings:
    """`options` has the fields of both protocols."""
    http1 = options.http_protocol_options
    if http1.HasField("header_key_format"):
        raise CompileError(join(path, "http_protocol_options.header_key_format"), "not supported")
    if protocol is UpstreamProtocol.BY_ALPN:
        settings = replace(settings, connect=_connect_by_alpn)
    return replace(
        settings,
        protocol=protocol,
        http2_options=compile_http2_options(
            options.http2_protocol_options, join(path, "http2_protocol_options")
        ),
        connect_http2=_connect_by_alpn if protocol is UpstreamProtocol.BY_ALPN else _connect_http2,
        http1_trailers=http1.enable_trailers,
    )


# HTTP/2 is loaded when it is first spoken: its library takes a megabyte that most proxies can do without.


async def _connect_http2(host: Host, settings: ClusterSettings) -> Any:
    from minimesh.data_plane.http.http2.upstream import connect_http2

    return await connect_http2(host, settings)


async def _connect_by_alpn(host: Host, settings: ClusterSettings) -> Any:
    from minimesh.data_plane.http.http2.upstream import connect_by_alpn

    return await connect_by_alpn(host, settings)


def _with_common(settings: ClusterSettings, common: Any, path: str) -> ClusterSettings:
    where = join(path, "common_http_protocol_options")
    idle_timeout_s = optional_seconds(common, "idle_timeout", where)
    return replace(
        settings,
        idle_timeout_s=3600.0 if idle_timeout_s is None else idle_timeout_s,
        max_requests_per_connection=common.max_requests_per_connection.value
        or settings.max_requests_per_connection,
        max_connection_duration_s=optional_seconds(common, "max_connection_duration", where) or 0.0,
    )


def _negotiates(message: Any) -> bool:
    """Whether connections to the cluster begin with a TLS handshake, where the protocol can be agreed on."""
    raw = m.raw_buffer_pb2.RawBuffer.DESCRIPTOR.full_name
    sockets = [message.transport_socket]
    sockets += [each.transport_socket for each in message.transport_socket_matches]
    return any(each.HasField("typed_config") and each.typed_config.TypeName() != raw for each in sockets)
