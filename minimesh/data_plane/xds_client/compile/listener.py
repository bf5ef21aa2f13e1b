"""Listener messages -> `network.listener` settings, each filter chain with the factory of its protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.explicit_proxy import ExplicitProxy
from minimesh.data_plane.network.filter_chains import (
    DuplicateMatchError,
    FilterChainMatch,
    FilterChains,
    SourceType,
)
from minimesh.data_plane.network.inspection import Inspection
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings, ProtocolFactory
from minimesh.data_plane.network.tcp_proxy import TcpProxy
from minimesh.data_plane.network.tls.server import ServerTls
from minimesh.data_plane.xds_client.compile.access_log import compile_access_logs
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.filter_configs import metadata_to_plain
from minimesh.data_plane.xds_client.compile.http_connection_manager import (
    CompiledConnectionManager,
    compile_http_connection_manager,
)
from minimesh.data_plane.xds_client.compile.network_filters import (
    compile_closing_chain,
    compile_direct_response,
    compile_tcp_proxy,
)
from minimesh.data_plane.xds_client.compile.route_environment import by_number, optional_seconds
from minimesh.data_plane.xds_client.compile.tls import compile_downstream_tls
from minimesh.xds import messages as m

_LISTENER = frozenset(
    {
        "access_log",
        "address",
        "bind_to_port",
        "connection_balance_config",
        "continue_on_listener_filters_timeout",
        "default_filter_chain",
        "drain_type",
        "enable_reuse_port",
        "filter_chains",
        "freebind",
        "ignore_global_conn_limit",
        "listener_filters",
        "listener_filters_timeout",
        "max_connections_to_accept_per_socket_event",
        "metadata",
        "name",
        "per_connection_buffer_limit_bytes",
        "reuse_port",
        "stat_prefix",
        "tcp_backlog_size",
        "tcp_fast_open_queue_length",
        "traffic_direction",
        "transparent",
        "use_original_dst",
    }
)
_CHAIN = frozenset(
    {
        "filter_chain_match",
        "filters",
        "metadata",
        "name",
        "transport_socket",
        "transport_socket_connect_timeout",
    }
)
_MATCH = frozenset(
    {
        "application_protocols",
        "destination_port",
        "direct_source_prefix_ranges",
        "prefix_ranges",
        "server_names",
        "source_ports",
        "source_prefix_ranges",
        "source_type",
        "transport_protocol",
    }
)
_LISTENER_FILTERS = {
    "envoy.filters.listener.original_dst",
    "envoy.filters.listener.tls_inspector",
    "envoy.filters.listener.http_inspector",
}
_TLS_INSPECTOR = m.tls_inspector_pb2.TlsInspector.DESCRIPTOR.full_name
_HTTP_INSPECTOR = m.http_inspector_pb2.HttpInspector.DESCRIPTOR.full_name
_LISTENER_FILTER_TYPES = {
    m.original_dst_pb2.OriginalDst.DESCRIPTOR.full_name,
    _TLS_INSPECTOR,
    _HTTP_INSPECTOR,
}
_MANAGER = m.http_connection_manager_pb2.HttpConnectionManager
_TCP_PROXY = m.tcp_proxy_pb2.TcpProxy
_DIRECT_RESPONSE = m.direct_response_pb2.Config
_DEFAULT_BUFFER_LIMIT_BYTES = 1024 * 1024
#: What the listener that applications are told to use as their proxy routes by.
_EXPLICIT_PROXY_ROUTE = "http_proxy"
#: The listener whose chains' destination ports are opened where nothing redirects connections to it.
_CAPTURING_LISTENER = "virtualInbound"


@dataclass(frozen=True, slots=True)
class CompiledListener:
    """A listener ready to be applied."""

    message: Any
    settings: ListenerSettings
    managers: tuple[CompiledConnectionManager, ...] = ()

    @property
    def route_config_names(self) -> tuple[str, ...]:
        """What it needs from RDS before it may open."""
        return tuple(
            dict.fromkeys(each.route_config_name for each in self.managers if each.route_config_name)
        )

    @property
    def tls_sockets(self) -> tuple[ServerTls, ...]:
        """What needs its secrets before it may open."""
        settings = self.settings
        chains = (*settings.filter_chains, settings.default_filter_chain)
        return tuple(chain.tls for chain in chains if chain is not None and chain.tls is not None)


def compile_listener(message: Any, context: CompileContext, path: str = "") -> CompiledListener:
    """One Listener. Raises CompileError."""
    refuse_unsupported(message, path, _LISTENER)
    _check_listener_filters(message, path)
    host, port = _address(message, path)
    compiler = _ChainCompiler(message, context)
    chains = tuple(
        compiler.chain(chain, f"{join(path, 'filter_chains')}[{index}]")
        for index, chain in enumerate(message.filter_chains)
    )
    default = None
    if message.HasField("default_filter_chain"):
        default = compiler.chain(message.default_filter_chain, join(path, "default_filter_chain"))
    if not chains and default is None:
        raise CompileError(join(path, "filter_chains"), f"no filter chains specified for {message.name!r}")
    settings = ListenerSettings(
        name=message.name,
        configured_address=(host, port),
        addresses=_real_addresses(message, host, port, chains, context),
        filter_chains=chains,
        default_filter_chain=default,
        access_logs=compile_access_logs(message.access_log, join(path, "access_log"), context),
        backlog=message.tcp_backlog_size.value or 1024,
        use_original_dst=_uses_original_destination(message),
        hands_off=message.use_original_dst.value,
        stat_prefix=message.stat_prefix,
        metadata=metadata_to_plain(message.metadata),
        inspection=_inspection(message, path),
    )
    try:
        FilterChains(chains)
    except DuplicateMatchError as error:
        raise CompileError(join(path, "filter_chains"), str(error)) from None
    return CompiledListener(message, settings, tuple(compiler.managers))


def _check_listener_filters(message: Any, path: str) -> None:
    for index, each in enumerate(message.listener_filters):
        kind = each.typed_config.TypeName()
        if kind not in _LISTENER_FILTER_TYPES and (kind or each.name not in _LISTENER_FILTERS):
            where = f"{join(path, 'listener_filters')}[{index}]"
            raise CompileError(where, f"listener filter {each.name!r}: not supported")


def _address(message: Any, path: str) -> tuple[str, int]:
    if not message.address.HasField("socket_address"):
        kind = message.address.WhichOneof("address") or "listener without address"
        raise CompileError(join(path, "address"), f"{kind}: not supported")
    socket_address = message.address.socket_address
    if socket_address.protocol != socket_address.TCP:
        raise CompileError(join(path, "address.socket_address.protocol"), "only TCP is supported")
    return socket_address.address, socket_address.port_value


def _real_addresses(
    message: Any, host: str, port: int, chains: tuple[FilterChain, ...], context: CompileContext
) -> tuple[BindAddress, ...]:
    if message.HasField("bind_to_port") and not message.bind_to_port.value:
        return ()
    addresses = context.address_map.bind_addresses(host, port)
    if message.name != _CAPTURING_LISTENER:
        return addresses
    destinations = (chain.match.destination_port for chain in chains)
    # A chain for the listener's own port (istiod guards 15006 against loops) needs no second socket.
    ports = [destination for destination in destinations if destination not in (None, 0, port)]
    return (*addresses, *context.address_map.capture_addresses(ports))


def _uses_original_destination(message: Any) -> bool:
    return bool(message.use_original_dst.value) or any(
        each.name == "envoy.filters.listener.original_dst" for each in message.listener_filters
    )


class _ChainCompiler:
    """Filter chains of one listener; gathers their connection managers."""

    def __init__(self, listener: Any, context: CompileContext) -> None:
        self.context = context
        self.managers: list[CompiledConnectionManager] = []
        address = listener.address.socket_address
        stat_name = listener.stat_prefix or f"{address.address}_{address.port_value}"
        self.stat_prefix = f"listener.{stat_name}"
        limit = listener.per_connection_buffer_limit_bytes
        self.buffer_limit_bytes = limit.value or _DEFAULT_BUFFER_LIMIT_BYTES

    def chain(self, message: Any, path: str) -> FilterChain:
        refuse_unsupported(message, path, _CHAIN)
        match = _match(message.filter_chain_match, join(path, "filter_chain_match"))
        tls = None
        if message.HasField("transport_socket"):
            tls = compile_downstream_tls(
                message.transport_socket, join(path, "transport_socket"), self.context
            )
        timeout_s = optional_seconds(message, "transport_socket_connect_timeout", path)
        make_protocol = self._protocol(message, path)
        half_closes = isinstance(make_protocol, TcpProxy)
        return FilterChain(make_protocol, match, message.name, tls, half_closes, timeout_s or 0.0)

    def _protocol(self, message: Any, path: str) -> ProtocolFactory:
        """The last filter ends the chain; in front of it nothing is supported yet."""
        if not message.filters:
            return compile_closing_chain()
        last = len(message.filters) - 1
        if last:
            raise CompileError(
                f"{path}.filters[0]", f"network filter {message.filters[0].name!r}: not supported"
            )
        return self._filter(message.filters[last], f"{path}.filters[{last}]")

    def _filter(self, message: Any, path: str) -> ProtocolFactory:
        where, kind = join(path, "typed_config"), message.typed_config.TypeName()
        if kind == _MANAGER.DESCRIPTOR.full_name:
            config = _unpacked(message.typed_config, _MANAGER, where)
            compiled = compile_http_connection_manager(
                config,
                where,
                self.context,
                buffer_limit_bytes=self.buffer_limit_bytes,
                listener_stat_prefix=self.stat_prefix,
            )
            self.managers.append(compiled)
            if self.context.address_map.capture and compiled.route_config_name == _EXPLICIT_PROXY_ROUTE:
                return ExplicitProxy(compiled.manager, self.context.listeners)
            return compiled.manager
        if kind == _TCP_PROXY.DESCRIPTOR.full_name:
            return compile_tcp_proxy(_unpacked(message.typed_config, _TCP_PROXY, where), where, self.context)
        if kind == _DIRECT_RESPONSE.DESCRIPTOR.full_name:
            return compile_direct_response(_unpacked(message.typed_config, _DIRECT_RESPONSE, where), where)
        raise CompileError(path, f"network filter {message.name or kind!r}: not supported")


def _unpacked(packed: Any, cls: Any, path: str) -> Any:
    message = cls()
    try:
        packed.Unpack(message)
    except m.DecodeError as error:
        raise CompileError(path, f"cannot be read: {error}") from None
    return message


def _match(message: Any, path: str) -> FilterChainMatch:
    refuse_unsupported(message, path, _MATCH)
    for index, name in enumerate(message.server_names):
        if "*" in name[1:] or (name.startswith("*") and not name.startswith("*.")):
            where = f"{join(path, 'server_names')}[{index}]"
            raise CompileError(where, f"{name!r}: partial wildcards are not supported in server_names")
    return FilterChainMatch(
        destination_port=message.destination_port.value,
        server_names=tuple(name.lower() for name in message.server_names),
        transport_protocol=message.transport_protocol,
        application_protocols=tuple(message.application_protocols),
        prefix_ranges=_ranges(message.prefix_ranges),
        direct_source_prefix_ranges=_ranges(message.direct_source_prefix_ranges),
        source_type=by_number(tuple(SourceType), message.source_type, join(path, "source_type")),
        source_prefix_ranges=_ranges(message.source_prefix_ranges),
        source_ports=tuple(message.source_ports),
    )


def _ranges(messages: Any) -> tuple[tuple[str, int], ...]:
    return tuple((each.address_prefix, each.prefix_len.value) for each in messages)


def _inspection(message: Any, path: str) -> Inspection:
    kinds = {each.typed_config.TypeName() for each in message.listener_filters}
    names = {each.name for each in message.listener_filters}
    timeout_s = optional_seconds(message, "listener_filters_timeout", path)
    return Inspection(
        tls=_TLS_INSPECTOR in kinds or "envoy.filters.listener.tls_inspector" in names,
        http=_HTTP_INSPECTOR in kinds or "envoy.filters.listener.http_inspector" in names,
        timeout_s=15.0 if timeout_s is None else timeout_s,
        continue_on_timeout=message.continue_on_listener_filters_timeout,
    )
