"""What a filter chain does with a connection when it does not speak HTTP."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from minimesh.data_plane.network.listener_settings import ListenerScope, ProtocolFactory
from minimesh.data_plane.network.tcp_proxy import TcpProxy, TcpProxyConfig, WeightedCluster
from minimesh.data_plane.xds_client.compile.access_log import compile_access_logs
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds

_TCP_PROXY = frozenset(
    {
        "access_log",
        "cluster",
        "hash_policy",
        "idle_timeout",
        "max_connect_attempts",
        "stat_prefix",
        "weighted_clusters",
    }
)


def compile_tcp_proxy(message: Any, path: str, context: CompileContext) -> ProtocolFactory:
    """A TcpProxy: bytes to one cluster, or to several by weight. Raises CompileError."""
    refuse_unsupported(message, path, _TCP_PROXY)
    if message.WhichOneof("cluster_specifier") is None:
        raise CompileError(path, "needs cluster or weighted_clusters")
    idle_timeout_s = optional_seconds(message, "idle_timeout", path)
    return TcpProxy(
        TcpProxyConfig(
            stat_prefix=message.stat_prefix,
            clusters=_weighted_clusters(message, path, context),
            stats=context.stats,
            access_logs=compile_access_logs(message.access_log, join(path, "access_log"), context),
            idle_timeout_s=3600.0 if idle_timeout_s is None else idle_timeout_s,
            max_connect_attempts=message.max_connect_attempts.value or 1,
            hash_source_ip=_hashes_source_ip(message, path),
        )
    )


def _hashes_source_ip(message: Any, path: str) -> bool:
    for index, policy in enumerate(message.hash_policy):
        if policy.WhichOneof("policy_specifier") != "source_ip":
            where = f"{join(path, 'hash_policy')}[{index}]"
            raise CompileError(where, "only source_ip is supported for connections")
    return bool(message.hash_policy)


def _weighted_clusters(message: Any, path: str, context: CompileContext) -> tuple[WeightedCluster, ...]:
    if message.cluster:
        return (WeightedCluster(context.clusters(message.cluster)),)
    where = join(path, "weighted_clusters")
    weighted = []
    for index, each in enumerate(message.weighted_clusters.clusters):
        refuse_unsupported(each, f"{where}.clusters[{index}]", frozenset({"name", "weight"}))
        weighted.append(WeightedCluster(context.clusters(each.name), each.weight))
    if not weighted:
        raise CompileError(where, "names no cluster")
    return tuple(weighted)


def compile_direct_response(message: Any, path: str) -> ProtocolFactory:
    """The direct_response network filter: some bytes, then the connection is closed."""
    source = message.response
    refuse_unsupported(source, join(path, "response"), frozenset({"inline_string", "inline_bytes"}))
    data = source.inline_bytes or source.inline_string.encode()
    return lambda info, scope: SayAndClose(data, scope)


def compile_closing_chain() -> ProtocolFactory:
    """A chain without filters: Envoy closes its connections as soon as they are there."""
    return lambda info, scope: SayAndClose(b"", scope)


class SayAndClose(asyncio.Protocol):
    """Writes some bytes, maybe none, and closes."""

    def __init__(self, data: bytes, scope: ListenerScope) -> None:
        self._data = data
        self._scope = scope
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if self._data:
            self._transport.write(self._data)
        self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._scope.connection_closed(self)

    def drain(self) -> None:
        """It is closing anyway."""

    def close_if_idle(self) -> None:
        """It is closing anyway."""

    def close_now(self) -> None:
        if self._transport is not None:
            self._transport.abort()
