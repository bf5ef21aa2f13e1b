"""The connections to one host that carry many exchanges at once: as few as will do.

`acquire` lends an exchange of the oldest connection with room. A new connection is dialled only when all are
full, and then as many as the waiting requests need. What limits them is `max_requests`; `max_connections` and
`max_pending_requests` matter while connections are being made.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, ConnectHttp2
from minimesh.data_plane.upstream.connection_pool import (
    ClusterResources,
    ConnectionPool,
    Requester,
)
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.http2_stats import Http2Stats


class MultiplexedConnection(Protocol):
    """What this pool asks of a connection."""

    closed: bool
    requests_started: int
    idle_since: float
    active: int
    going_away: bool
    told: bool
    """The peer has said how many exchanges it takes."""

    @property
    def capacity(self) -> int: ...

    def open_exchange(self) -> Any: ...

    def close(self) -> None: ...

    def close_gracefully(self) -> None: ...


class MultiplexedPool(ConnectionPool):
    """See the module. `idle` stays empty: a connection without exchanges is one with most room."""

    __slots__ = ("_ordered", "http2_stats")

    protocol = "HTTP/2"
    connections_counter = "upstream_cx_http2_total"

    def __init__(self, host: Host, resources: ClusterResources) -> None:
        super().__init__(host, resources)
        self.http2_stats = Http2Stats(resources.stats.store, resources.stats.prefix)
        #: Oldest first.
        self._ordered: list[MultiplexedConnection] = []

    def acquire(self, requester: Requester) -> Any:
        """An exchange; or None, and the requester is called back (perhaps before this returns)."""
        resources = self.resources
        connection = None if self.waiting else self._with_room()
        if connection is not None:
            if resources.requests >= resources.limits.max_requests:
                self._refuse_active(requester)
                return None
            return self._lend(connection)
        if resources.pending >= resources.limits.max_pending_requests:
            self._refuse(requester)
        else:
            self._wait(requester)
        return None

    def drain(self) -> None:
        """The host is gone: connections close when their exchanges are over."""
        self.draining = True
        for connection in list(self._ordered):
            if not self.waiting:
                connection.close_gracefully()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def close_idle(self, older_than: float = float("inf")) -> None:
        for connection in [
            each for each in self._ordered if not each.active and each.idle_since < older_than
        ]:
            if not connection.active and connection.idle_since < older_than:
                connection.close()

    # --- told by connections ---

    def exchange_finished(self, connection: MultiplexedConnection) -> None:
        """There may be room for another."""
        if self.waiting:
            self._serve()
            if connection.going_away and self.waiting:
                self._dial_if_allowed()
        if connection.active or connection.going_away:
            return
        if self.draining:
            connection.close_gracefully()
        elif self._sweep is None and self.resources.settings.idle_timeout_s > 0:
            limit_s = self.resources.settings.idle_timeout_s
            self._sweep = asyncio.get_running_loop().call_later(limit_s, self._sweep_idle)

    def capacity_changed(self, connection: MultiplexedConnection) -> None:
        """The peer has said how many exchanges it takes."""
        if self.waiting:
            self._serve()
            self._dial_if_allowed()

    def going_away(self, connection: MultiplexedConnection) -> None:
        """The peer wants no more exchanges on this connection."""
        self.resources.stats.count("upstream_cx_close_notify")
        if self.waiting:
            self._dial_if_allowed()

    def ejected(self, exchanges: int) -> None:
        """A connection ended while these were under way."""
        for _ in range(exchanges):
            self.resources.stats.count("upstream_rq_pending_failure_eject")

    def forget(self, connection: Any, *, remote: bool = False, active: bool = False) -> None:
        if connection in self.connections:
            self._ordered.remove(connection)
        super().forget(connection, remote=remote, active=active)

    # --- within ---

    def _with_room(self) -> MultiplexedConnection | None:
        for connection in self._ordered:
            if connection.active < connection.capacity and not connection.going_away:
                return connection
        return None

    def _lend(self, connection: MultiplexedConnection) -> Any:
        exchange = connection.open_exchange()
        limit = self.resources.settings.max_requests_per_connection
        if 0 < limit <= connection.requests_started and not connection.going_away:
            connection.going_away = True
            self.resources.stats.count("upstream_cx_max_requests")
        return exchange

    def _serve(self) -> None:
        """Exchanges for those who wait, as far as there is room."""
        resources = self.resources
        while self.waiting and (connection := self._with_room()) is not None:
            requester = self.waiting.popleft()
            self._one_less_waiting()
            if resources.requests >= resources.limits.max_requests:
                self._refuse_active(requester)
            else:
                requester.on_pool_ready(self._lend(connection), self.host)

    def _dial_if_allowed(self) -> None:
        """As many connections as those who wait will fill, within max_connections."""
        settings = self.resources.settings
        expected = settings.http2_options.max_concurrent_streams
        if settings.max_requests_per_connection:
            expected = min(expected, settings.max_requests_per_connection)
        coming = self._dials * expected
        for connection in self._ordered:
            if not connection.told and not connection.going_away:
                coming += max(0, expected - connection.active)
        if coming < len(self.waiting):
            self._dial_within_limit()

    def _connect_of(self, settings: ClusterSettings) -> ConnectHttp2 | None:
        return settings.connect_http2

    def take_over(self, connection: Any) -> None:
        self._ordered.append(connection)
        super().take_over(connection)

    def release(self, connection: Any, now: float) -> None:
        """A new connection is ready."""
        self._serve()
        if self.waiting:
            self._dial_if_allowed()
        self.exchange_finished(connection)

    def _sweep_idle(self) -> None:
        self._sweep = None
        loop, limit_s = asyncio.get_running_loop(), self.resources.settings.idle_timeout_s
        idle = [each for each in self._ordered if not each.active]
        for connection in idle:
            if connection.idle_since <= loop.time() - limit_s:
                self.resources.stats.count("upstream_cx_idle_timeout")
                connection.close()
        left = [each.idle_since for each in idle if not each.closed]
        if left and limit_s > 0:
            self._sweep = loop.call_at(min(left) + limit_s + 0.001, self._sweep_idle)

    def _retire(self, connection: MultiplexedConnection) -> None:
        connection.close_gracefully()
