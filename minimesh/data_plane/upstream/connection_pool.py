"""The connections to one host: idle ones on a stack, dials under way, requests that wait for either.

`acquire` hands out an idle connection at once. Otherwise the request waits its turn, a task dials, and the
requester is called back; a full queue refuses it. Nothing here is made per request unless it has to wait.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any, Protocol

from minimesh.data_plane.network.tls.failure import TlsFailureError
from minimesh.data_plane.upstream.circuit_breakers import ClusterResources as ClusterResources
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, Connect, ConnectHttp2
from minimesh.data_plane.upstream.dial import requested_server_name
from minimesh.data_plane.upstream.host import Host


class PoolFailure(Enum):
    """Why no connection could be had; the value is Envoy's text for it."""

    OVERFLOW = "overflow"
    CONNECT_FAILURE = "remote connection failure"
    CONNECT_TIMEOUT = "connection timeout"


class PooledConnection(Protocol):
    """What a pool asks of a connection that `connect` made."""

    pool: ConnectionPool | None
    closed: bool
    requests_started: int
    idle_since: float

    def close(self) -> None: ...


class Requester(Protocol):
    """Somebody who wants a connection."""

    def on_pool_ready(self, connection: Any, host: Host) -> None: ...

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        """`transport_reason` is Envoy's text for a failed dial ("delayed connect error: ..."), or empty."""


class Pool(Protocol):
    """What requests and their cluster ask of the connections to one host, whatever their protocol."""

    @property
    def waiting(self) -> Collection[Requester]:
        """Who waits for a connection."""

    def acquire(self, requester: Requester) -> Any:
        """An exchange; or None, and the requester is called back (perhaps before this returns)."""

    def cancel(self, requester: Requester) -> None:
        """The requester no longer waits."""

    def close_idle(self, older_than: float = ...) -> None:
        """Close connections idle since before `older_than` (the loop's time)."""

    def drain(self) -> None:
        """The host is gone: connections close when nobody needs them any more."""

    def name_server(self, server_name: str) -> None:
        """Send this as SNI."""


class ConnectionPool:
    """See the module. A connection is idle, or lent to one requester, or gone."""

    protocol = "HTTP/1.1"
    connections_counter = "upstream_cx_http1_total"

    __slots__ = (
        "_dials",
        "_lifetimes",
        "_retired",
        "_sweep",
        "_tasks",
        "connections",
        "draining",
        "host",
        "idle",
        "on_other_protocol",
        "resources",
        "server_name",
        "waiting",
    )

    def __init__(self, host: Host, resources: ClusterResources) -> None:
        self.host = host
        self.resources = resources
        #: SNI of its connections, where requests choose it; empty: as configured.
        self.server_name = ""
        #: Most recently used last.
        self.idle: list[Any] = []
        self.waiting: deque[Requester] = deque()
        #: Every open connection.
        self.connections: set[Any] = set()
        self.draining = False
        #: Where the handshake decides: told of a connection that is not for this pool.
        self.on_other_protocol: Callable[[Any], None] | None = None
        #: Lent out, and not to be lent again.
        self._retired: set[Any] = set()
        self._lifetimes: dict[Any, asyncio.TimerHandle] = {}
        self._dials = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    def name_server(self, server_name: str) -> None:
        """Send this as SNI."""
        self.server_name = server_name

    def acquire(self, requester: Requester) -> Any:
        """An idle connection; or None, and the requester is called back (perhaps before this returns)."""
        resources = self.resources
        idle = self.idle
        limits = resources.limits
        while idle:
            if resources.requests >= limits.max_requests:
                self._refuse_active(requester)
                return None
            connection = idle.pop()
            if not connection.closed:
                return connection
        if resources.pending >= limits.max_pending_requests:
            self._refuse(requester)
            return None
        self._wait(requester)
        return None

    def release(self, connection: Any, now: float) -> None:
        """Take back a connection whose exchange is complete; `now` is the loop's time."""
        settings = self.resources.settings
        if 0 < settings.max_requests_per_connection <= connection.requests_started:
            connection.close()
            return
        if self._retired and connection in self._retired:
            connection.close()
            return
        if self.waiting:
            self._serve_next(connection)
            return
        if self.draining:
            connection.close()
            return
        connection.idle_since = now
        self.idle.append(connection)
        if self._sweep is None and settings.idle_timeout_s > 0:
            self._sweep = asyncio.get_running_loop().call_later(settings.idle_timeout_s, self._sweep_idle)

    def cancel(self, requester: Requester) -> None:
        """The requester no longer waits. A dial made for it goes on: the next one is glad of it."""
        try:
            self.waiting.remove(requester)
        except ValueError:
            return
        self._one_less_waiting()
        self.resources.stats.rq_cancelled.inc()

    def forget(self, connection: Any, *, remote: bool = False, active: bool = False) -> None:
        """The connection is closed: called once by the connection itself.

        `remote`: by the host; `active`: while an exchange was under way.
        """
        if connection in self.connections:
            self.connections.discard(connection)
            self.host.active_connections -= 1
            resources = self.resources
            resources.connections -= 1
            resources.stats.cx_active.dec()
            resources.stats.count_closed(remote=remote, active=active)
            if connection in self.idle:
                self.idle.remove(connection)
            self._retired.discard(connection)
            lifetime = self._lifetimes.pop(connection, None)
            if lifetime is not None:
                lifetime.cancel()
        if self.waiting:
            self._dial_if_allowed()

    def close_idle(self, older_than: float = float("inf")) -> None:
        """Close connections idle since before `older_than` (the loop's time): the idle timeout, or all."""
        for connection in [each for each in self.idle if each.idle_since < older_than]:
            connection.close()

    def drain(self) -> None:
        """The host is gone: idle connections close now, the others when nobody waits for them any more."""
        self.draining = True
        self.close_idle()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _sweep_idle(self) -> None:
        """One timer for the pool, set again for the connection that has been idle longest."""
        self._sweep = None
        loop, limit_s = asyncio.get_running_loop(), self.resources.settings.idle_timeout_s
        self.close_idle(older_than=loop.time() - limit_s)
        if self.idle and limit_s > 0:
            oldest = min(connection.idle_since for connection in self.idle)
            self._sweep = loop.call_at(oldest + limit_s + 0.001, self._sweep_idle)

    # --- waiting and dialling ---

    def _refuse(self, requester: Requester) -> None:
        self.resources.stats.rq_pending_overflow.inc()
        requester.on_pool_failure(PoolFailure.OVERFLOW, "", self.host)

    def _refuse_active(self, requester: Requester) -> None:
        """There is a connection, but as many requests are under way as may be."""
        self.resources.stats.count("upstream_rq_active_overflow")
        requester.on_pool_failure(PoolFailure.OVERFLOW, "", self.host)

    def _refuse_waiting_beyond_limit(self) -> None:
        """For those who waited for a connection that is there now."""
        resources = self.resources
        while self.waiting and resources.requests >= resources.limits.max_requests:
            requester = self.waiting.popleft()
            self._one_less_waiting()
            self._refuse_active(requester)

    def _wait(self, requester: Requester) -> None:
        resources = self.resources
        resources.pending += 1
        resources.stats.rq_pending_total.inc()
        resources.stats.rq_pending_active.inc()
        self.waiting.append(requester)
        self._dial_if_allowed()

    def _one_less_waiting(self) -> None:
        self.resources.pending -= 1
        self.resources.stats.rq_pending_active.dec()

    def _dial_if_allowed(self) -> None:
        """One dial per waiting request."""
        if self._dials < len(self.waiting):
            self._dial_within_limit()

    def dial_for_waiting(self) -> None:
        """As many dials as those who wait need."""
        for _ in range(len(self.waiting)):
            self._dial_if_allowed()

    def _dial_within_limit(self) -> None:
        """One dial, within max_connections; a host without any may always have one."""
        resources, here = self.resources, len(self.connections) + self._dials
        limits = resources.limits
        full = resources.connections >= limits.max_connections or (
            0 < limits.max_connections_per_host <= here
        )
        if full:
            resources.stats.cx_overflow.inc()
            if here:
                return
        self._dials += 1
        resources.connections += 1
        task = asyncio.get_running_loop().create_task(self._dial())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dial(self) -> None:
        resources = self.resources
        settings = resources.settings
        self.host.connections_total += 1
        resources.stats.cx_total.inc()
        if self.on_other_protocol is None:
            resources.stats.count(self.connections_counter)
        if self.server_name:
            requested_server_name.set(self.server_name)
        connect = self._connect_of(settings)
        assert connect is not None, "a cluster without a connect function has no pools"
        try:
            async with asyncio.timeout(settings.connect_timeout_s):
                connection: Any = await connect(self.host, settings)
        except TimeoutError:
            resources.stats.connect_timeout.inc()
            self._dial_failed(PoolFailure.CONNECT_TIMEOUT, "")
        except OSError as error:
            self._dial_failed(PoolFailure.CONNECT_FAILURE, transport_reason(error))
        except Exception:
            # A mistake of ours: told of by the loop, but nobody may wait for ever because of it.
            self._dial_failed(PoolFailure.CONNECT_FAILURE, "")
            raise
        else:
            self._dials -= 1
            if self.on_other_protocol is not None and connection.protocol != self.protocol:
                self.on_other_protocol(connection)
            else:
                self.take_over(connection)

    def _connect_of(self, settings: ClusterSettings) -> Connect | ConnectHttp2 | None:
        """How a connection for this pool is opened."""
        return settings.connect

    def _dial_failed(self, failure: PoolFailure, transport_reason: str) -> None:
        """Everybody who waits is told: a host that cannot be reached must not collect requests."""
        self._dials -= 1
        self.resources.connections -= 1
        stats = self.resources.stats
        stats.connect_fail.inc()
        stats.count_closed(remote=failure is PoolFailure.CONNECT_FAILURE)
        self.host.connect_failures += 1
        waiting, self.waiting = self.waiting, deque()
        for requester in waiting:
            self._one_less_waiting()
            stats.count("upstream_rq_pending_failure_eject")
            requester.on_pool_failure(failure, transport_reason, self.host)

    def take_over(self, connection: PooledConnection) -> None:
        """A new connection is there, already counted among the cluster's."""
        connection.pool = self
        if self.on_other_protocol is not None:
            self.resources.stats.count(self.connections_counter)
        self.connections.add(connection)
        self.host.active_connections += 1
        self.resources.stats.cx_active.inc()
        self.resources.stats.rq_active.touch()
        self._limit_lifetime(connection)
        if connection.closed:  # closed between the handshake and now
            self.forget(connection)
            return
        self._refuse_waiting_beyond_limit()
        self.release(connection, asyncio.get_running_loop().time())

    def _limit_lifetime(self, connection: Any) -> None:
        limit_s = self.resources.settings.max_connection_duration_s
        if limit_s > 0:
            loop = asyncio.get_running_loop()
            self._lifetimes[connection] = loop.call_later(limit_s, self._end_of_life, connection)

    def _end_of_life(self, connection: Any) -> None:
        """The connection has lived as long as it may: an exchange under way is its last."""
        del self._lifetimes[connection]
        self.resources.stats.count("upstream_cx_max_duration_reached")
        self._retire(connection)

    def _retire(self, connection: Any) -> None:
        if connection in self.idle:
            connection.close()
        else:
            self._retired.add(connection)

    def _serve_next(self, connection: Any) -> None:
        requester = self.waiting.popleft()
        self._one_less_waiting()
        requester.on_pool_ready(connection, self.host)


def transport_reason(error: OSError) -> str:
    """Envoy's words for a failed dial, spaces as underscores."""
    if isinstance(error, TlsFailureError):
        return error.words
    if error.errno and not isinstance(error, socket.gaierror):  # which has numbers of its own
        text = os.strerror(error.errno)
    else:
        text = error.strerror or str(error) or type(error).__name__
    return f"delayed_connect_error:_{text}".replace(" ", "_")
