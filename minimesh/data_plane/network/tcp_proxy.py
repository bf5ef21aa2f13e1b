"""Bytes from a client's connection to a host and back, and Envoy's access-log line for it.

CONNECTING --connected--> RELAYING --one side closes--> HALF CLOSED --the other too--> done
     `--failed--> reset
"""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.network.connection import ConnectionInfo, address_text, reset
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.telemetry.access_log import AccessLogger
from minimesh.data_plane.telemetry.bytes_meter import BytesMeter
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.telemetry.stream_info import StreamInfo
from minimesh.data_plane.upstream.connection_pool import transport_reason
from minimesh.data_plane.upstream.dial import dial
from minimesh.data_plane.upstream.hashing import hash_text
from minimesh.data_plane.upstream.host_selection import HostSelection

if TYPE_CHECKING:
    from minimesh.data_plane.network.listener_settings import ListenerScope
    from minimesh.data_plane.network.timers import Deadline
    from minimesh.data_plane.upstream.cluster import Cluster
    from minimesh.data_plane.upstream.host import Host


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """One of the clusters a TCP proxy may send to."""

    handle: ClusterHandle
    weight: int = 1


@dataclass(frozen=True, slots=True)
class TcpProxyConfig:
    """What the configuration of a TCP proxy says. Times in seconds, 0 switches off."""

    stat_prefix: str
    clusters: tuple[WeightedCluster, ...]
    stats: StatsStore = field(default_factory=StatsStore)
    access_logs: tuple[AccessLogger, ...] = ()
    idle_timeout_s: float = 3600.0
    max_connect_attempts: int = 1
    hash_source_ip: bool = False
    """Connections of one address go to one host, where the cluster's balancer hashes."""


class TcpProxy:
    """One configured TCP proxy: the listener's protocol factory."""

    __slots__ = ("_bounds", "config", "cx_no_route", "cx_total", "random")

    def __init__(self, config: TcpProxyConfig, source: random.Random | None = None) -> None:
        self.config = config
        self.random = source or random.Random()
        self.cx_total = config.stats.counter(f"tcp.{config.stat_prefix}.downstream_cx_total")
        self.cx_no_route = config.stats.counter(f"tcp.{config.stat_prefix}.downstream_cx_no_route")
        self._bounds = _running_totals([each.weight for each in config.clusters])

    def __call__(self, info: ConnectionInfo, scope: ListenerScope) -> TcpProxyConnection:
        return TcpProxyConnection(self, info, scope)

    def choose_cluster(self) -> Cluster | None:
        """By weight; None when the one chosen does not exist."""
        clusters = self.config.clusters
        if len(clusters) == 1:
            chosen = clusters[0]
        else:
            chosen = clusters[bisect_right(self._bounds, self.random.randrange(self._bounds[-1]))]
        cluster: Cluster | None = chosen.handle.cluster
        return cluster


def _running_totals(weights: Sequence[int]) -> list[int]:
    totals: list[int] = []
    for weight in weights:
        totals.append(weight + (totals[-1] if totals else 0))
    return totals


class TcpProxyConnection(asyncio.Protocol):
    """The client's side."""

    __slots__ = (
        "_attempts", "_cluster", "_deadline", "_dial", "_early", "_ended_by_host", "_finished", "_host",
        "_last_activity", "_proxy", "_scope", "_transport", "_upstream", "closed", "info", "stream",
    )  # fmt: skip

    def __init__(self, proxy: TcpProxy, info: ConnectionInfo, scope: ListenerScope) -> None:
        self.info = info
        self.closed = False
        self._proxy = proxy
        self._scope = scope
        self._transport: asyncio.Transport
        self._upstream: _Upstream | None = None
        self._dial: asyncio.Task[None] | None = None
        self._cluster: Cluster | None = None
        self._host: Host | None = None
        self._attempts = 0
        self._finished = False
        self._ended_by_host = False
        self._early: list[bytes] = []
        self._deadline: Deadline | None = None
        self._last_activity = asyncio.get_running_loop().time()
        self.stream = StreamInfo(time.time(), self._last_activity)
        info.describe(self.stream)

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._proxy.cx_total.inc()
        cluster = self._proxy.choose_cluster()
        if cluster is None:
            self._proxy.cx_no_route.inc()
            self.stream.add_flag("NC")
            self._transport.close()
            return
        self._cluster = cluster
        self.stream.upstream_cluster = cluster.name
        self._connect(cluster)

    def data_received(self, data: bytes) -> None:
        self._last_activity = asyncio.get_running_loop().time()
        if self._upstream is not None:
            self.stream.bytes_received += len(data)
            self._upstream.transport.write(data)
        else:
            self._early.append(data)
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client has nothing more to say, but may still listen."""
        upstream = self._upstream
        if self.closed or (upstream is not None and upstream.finished):
            return False
        self._finished = True
        if upstream is not None:
            upstream.transport.write_eof()
        return upstream is not None or self._dial is not None

    def connection_lost(self, error: Exception | None) -> None:
        if self.closed:
            return
        self.closed = True
        if self._dial is not None:
            self._dial.cancel()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._upstream is not None:
            if error is None:
                self._close_behind_what_is_written(self._upstream.transport)
            else:
                reset(self._upstream.transport)
        self._log()
        self._scope.connection_closed(self)

    def _close_behind_what_is_written(self, transport: asyncio.Transport) -> None:
        """A host that does not take it would keep the connection: it has the idle timeout's time."""
        transport.close()
        limit_s = self._proxy.config.idle_timeout_s
        if limit_s > 0 and transport.get_write_buffer_size():
            self._deadline = self._scope.timers.call_after(limit_s, transport.abort)

    def pause_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._upstream is not None:
            self._upstream.transport.resume_reading()

    # --- asked by the listener ---

    def drain(self) -> None:
        """A TCP connection lasts until one side ends it, or the drain time is over."""

    def close_if_idle(self) -> None:
        """Nobody but its two ends knows whether it is idle."""

    def close_now(self) -> None:
        self._transport.abort()

    # --- within ---

    def _connect(self, cluster: Cluster) -> None:
        host = self._choose_host(cluster)
        if host is None:
            cluster.stats.count("upstream_cx_none_healthy")
            self.stream.add_flag("UH")
            reset(self._transport)
            return
        resources = cluster.resources
        if resources.connections >= resources.limits.max_connections:
            cluster.stats.cx_overflow.inc()
            self.stream.add_flag("UO")
            reset(self._transport)
            return
        self._host = host
        self.stream.upstream_host = host.name
        self._dial = asyncio.get_running_loop().create_task(self._open(cluster, host))

    def _choose_host(self, cluster: Cluster) -> Host | None:
        if not cluster.by_destination:
            if self._proxy.config.hash_source_ip and cluster.by_hash:
                address = self.info.remote_address.rpartition(":")[0].strip("[]")
                return cluster.choose_host(None, HostSelection(hash_text(address)))
            return cluster.choose_host()
        meant = self.info.original_destination
        return None if meant is None else cluster.original_destination(*meant)

    async def _open(self, cluster: Cluster, host: Host) -> None:
        settings, stats = cluster.settings, cluster.stats
        stats.cx_total.inc()
        stats.rq_pending_total.inc()
        self._attempts += 1
        self.stream.upstream_request_attempt_count = self._attempts
        host.connections_total += 1
        cluster.resources.connections += 1
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                upstream = await dial(lambda _: _Upstream(self), host, settings, half_closes=True)
        except OSError as error:
            self._connect_failed(cluster, host, error)
            return
        except BaseException:  # the client has gone meanwhile
            cluster.resources.connections -= 1
            raise
        self._dial = None
        if cluster.is_watched:
            cluster.health.on_connected(host, final=True)
        stats.cx_active.inc()
        stats.rq_total.inc()
        host.active_connections += 1
        self._relay(upstream)

    def _connect_failed(self, cluster: Cluster, host: Host, error: OSError) -> None:
        self._dial = None
        cluster.resources.connections -= 1
        host.connect_failures += 1
        if cluster.is_watched:
            timeout = isinstance(error, TimeoutError)
            (cluster.health.on_timeout if timeout else cluster.health.on_failure)(host)
        stats = cluster.stats
        stats.connect_fail.inc()
        stats.count("upstream_rq_pending_failure_eject")
        stats.count_closed(remote=not isinstance(error, TimeoutError))
        if self._attempts < self._proxy.config.max_connect_attempts and not self.closed:
            self._connect(cluster)
            return
        stats.count("upstream_cx_connect_attempts_exceeded")
        if isinstance(error, TimeoutError):
            stats.connect_timeout.inc()
        else:
            self.stream.upstream_transport_failure_reason = transport_reason(error) or None
        self.stream.add_flag("UF")
        self.stream.add_flag("URX")
        if not self.closed:
            reset(self._transport)

    def _relay(self, upstream: _Upstream) -> None:
        if self.closed:
            upstream.transport.abort()
            return
        self._upstream = upstream
        if self._cluster is not None and self._cluster.settings.close_connections_on_host_health_failure:
            assert self._host is not None
            self._host.tcp_connections.add(self)
        self.stream.upstream_local_address = address_text(upstream.transport.get_extra_info("sockname"))
        if self._early:
            early = b"".join(self._early)
            self.stream.bytes_received += len(early)
            upstream.transport.write(early)
            self._early = []
            self._transport.resume_reading()
        if self._finished:
            upstream.transport.write_eof()
        self._watch_idleness()

    def on_upstream_data(self, data: bytes) -> None:
        self.stream.bytes_sent += len(data)
        self._last_activity = asyncio.get_running_loop().time()
        self._transport.write(data)

    def on_upstream_eof(self) -> None:
        """The host has nothing more to say; when the client has not either, that was it."""
        if self.closed or self._transport.is_closing():
            return
        if self._finished:
            self._ended_by_host = True
            self._transport.close()
        else:
            self._transport.write_eof()

    def on_upstream_writable(self, writable: bool) -> None:
        if not self.closed:
            if writable:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def on_upstream_closed(self, error: Exception | None) -> None:
        if self._cluster is not None and self._host is not None:
            self._cluster.stats.cx_active.dec()
            self._cluster.stats.count_closed(remote=self._ended_by_host or not self.closed, active=True)
            self._cluster.resources.connections -= 1
            self._host.active_connections -= 1
            self._host.tcp_connections.discard(self)
        if self.closed:
            if self._deadline is not None:
                self._deadline.cancel()
            return
        if error is None:
            self._transport.close()
        else:
            self.stream.add_flag("UR")
            reset(self._transport)

    def _watch_idleness(self) -> None:
        limit_s = self._proxy.config.idle_timeout_s
        if limit_s <= 0 or self.closed:
            return
        idle_s = asyncio.get_running_loop().time() - self._last_activity
        if idle_s >= limit_s:
            self._transport.abort()  # whoever does not take what is written would keep the connection
            return
        self._deadline = self._scope.timers.call_after(limit_s - idle_s, self._watch_idleness)

    def _count_bytes(self) -> None:
        stream, store = self.stream, self._proxy.config.stats
        prefix = f"tcp.{self._proxy.config.stat_prefix}.downstream_cx_"
        store.counter(prefix + "rx_bytes_total").inc(stream.bytes_received)
        store.counter(prefix + "tx_bytes_total").inc(stream.bytes_sent)
        if self._cluster is not None:
            store.counter(f"{self._cluster.stats.prefix}upstream_cx_rx_bytes_total").inc(stream.bytes_sent)
            store.counter(f"{self._cluster.stats.prefix}upstream_cx_tx_bytes_total").inc(
                stream.bytes_received
            )

    def _log(self) -> None:
        self._count_bytes()
        stream = self.stream
        stream.completed_at = asyncio.get_running_loop().time()
        if self._proxy.config.access_logs:
            client, host = stream.downstream_bytes, stream.upstream_bytes = BytesMeter(), BytesMeter()
            client.wire_received = host.wire_sent = stream.bytes_received
            client.wire_sent = host.wire_received = stream.bytes_sent
        for access_log in self._proxy.config.access_logs:
            access_log.log(self.stream)


class _Upstream(asyncio.Protocol):
    """The host's side."""

    __slots__ = ("_client", "finished", "transport")

    def __init__(self, client: TcpProxyConnection) -> None:
        self._client = client
        self.transport: asyncio.Transport
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._client.on_upstream_data(data)

    def eof_received(self) -> bool:
        self.finished = True
        self._client.on_upstream_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.finished = True
        self._client.on_upstream_closed(error)

    def pause_writing(self) -> None:
        self._client.on_upstream_writable(False)

    def resume_writing(self) -> None:
        self._client.on_upstream_writable(True)
