"""The pool for many exchanges a connection: connections are only objects, dials end when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from minimesh.data_plane.network.http2_options import Http2Options
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.circuit_breakers import CircuitBreakers, ClusterResources
from minimesh.data_plane.upstream.cluster import ClusterSettings
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.connection_pool import PoolFailure
from minimesh.data_plane.upstream.host import Host, HostSpec
from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedPool


class Connection:
    """`capacity` as the peer says, once `told`."""

    def __init__(self, capacity: int = 1024, *, told: bool = True) -> None:
        self.pool: MultiplexedPool | None = None
        self.closed = False
        self.going_away = False
        self.told = told
        self.active = 0
        self.capacity = capacity
        self.requests_started = 0
        self.idle_since = 0.0

    def open_exchange(self) -> Exchange:
        self.active += 1
        self.requests_started += 1
        return Exchange(self)

    def close(self) -> None:
        self.closed = True
        if self.pool is not None:
            self.pool.forget(self)

    def close_gracefully(self) -> None:
        self.going_away = True
        if not self.active:
            self.close()


class Exchange:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def finish(self) -> None:
        connection = self.connection
        connection.active -= 1
        connection.idle_since = asyncio.get_running_loop().time()
        assert connection.pool is not None
        connection.pool.exchange_finished(connection)
        if connection.going_away and not connection.active:
            connection.close()


class Requester:
    def __init__(self) -> None:
        self.exchange: Any = None
        self.failure: tuple[PoolFailure, str] | None = None

    def on_pool_ready(self, exchange: Exchange, host: Host) -> None:
        self.exchange = exchange

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        self.failure = (failure, transport_reason)


class Dials:
    """A `connect_http2` whose outcomes the test decides."""

    def __init__(self) -> None:
        self.outcomes: list[asyncio.Future[Callable[[], Connection]]] = []

    async def connect(self, host: Host, settings: ClusterSettings) -> Any:
        self.outcomes.append(asyncio.get_running_loop().create_future())
        return (await self.outcomes[-1])()

    async def succeed(self, connection: Connection) -> Connection:
        await turns()
        next(each for each in self.outcomes if not each.done()).set_result(lambda: connection)
        await turns()
        return connection


async def turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


class Lab:
    def __init__(self, **settings: Any) -> None:
        self.dials = Dials()
        self.stats = StatsStore()
        chosen = ClusterSettings("c", connect_http2=self.dials.connect, **settings)
        self.resources = ClusterResources(chosen, ClusterStats(self.stats, "c"))
        self.pool = MultiplexedPool(Host(HostSpec("127.0.0.1", 1)), self.resources)

    def ask(self) -> Requester:
        requester = Requester()
        requester.exchange = self.pool.acquire(requester)
        return requester

    def count(self, name: str) -> int:
        return int(self.stats.counter(f"cluster.c.{name}").value)


async def test_one_dial_serves_all_who_wait() -> None:
    lab = Lab()
    requesters = [lab.ask() for _ in range(5)]
    connection = await lab.dials.succeed(Connection())
    assert [each.exchange.connection for each in requesters] == [connection] * 5
    assert len(lab.dials.outcomes) == 1
    assert (lab.count("upstream_cx_total"), lab.count("upstream_cx_http2_total")) == (1, 1)
    assert lab.count("upstream_rq_pending_total") == 5


async def test_a_connection_with_room_is_lent_at_once() -> None:
    lab = Lab()
    lab.ask()
    connection = await lab.dials.succeed(Connection())
    assert lab.ask().exchange.connection is connection
    assert connection.active == 2


async def test_another_connection_is_dialled_only_when_all_are_full() -> None:
    lab = Lab()
    first = lab.ask()
    connection = await lab.dials.succeed(Connection(capacity=1))
    second = lab.ask()
    assert second.exchange is None
    other = await lab.dials.succeed(Connection(capacity=1))
    assert second.exchange.connection is other
    first.exchange.finish()
    second.exchange.finish()
    assert lab.ask().exchange.connection is connection  # the oldest first


async def test_room_that_becomes_free_serves_who_waits() -> None:
    lab = Lab()
    first = lab.ask()
    connection = await lab.dials.succeed(Connection(capacity=1))
    waiting = lab.ask()
    first.exchange.finish()
    assert waiting.exchange.connection is connection


async def test_as_many_dials_as_the_configured_concurrency_needs() -> None:
    lab = Lab(http2_options=Http2Options(max_concurrent_streams=2))
    for _ in range(5):
        lab.ask()
    await turns()
    assert len(lab.dials.outcomes) == 3


async def test_who_finds_no_room_before_the_peer_has_said_how_much_there_is_waits_for_it() -> None:
    lab = Lab()
    requesters = [lab.ask() for _ in range(3)]
    connection = await lab.dials.succeed(Connection(capacity=2, told=False))
    assert requesters[2].exchange is None
    assert len(lab.dials.outcomes) == 1
    connection.capacity, connection.told = 3, True
    lab.pool.capacity_changed(connection)
    assert requesters[2].exchange.connection is connection


async def test_less_room_than_expected_is_made_up_for_by_another_connection() -> None:
    lab = Lab()
    requesters = [lab.ask() for _ in range(3)]
    connection = await lab.dials.succeed(Connection(capacity=2, told=False))
    connection.told = True
    lab.pool.capacity_changed(connection)
    other = await lab.dials.succeed(Connection())
    assert requesters[2].exchange.connection is other


async def test_max_requests_is_the_limit_that_counts() -> None:
    lab = Lab(circuit_breakers=CircuitBreakers(max_requests=1))
    lab.ask()
    await lab.dials.succeed(Connection())
    lab.resources.requests = 1  # counted by the router
    refused = lab.ask()
    assert refused.failure == (PoolFailure.OVERFLOW, "")
    assert lab.count("upstream_rq_pending_overflow") == 0


async def test_max_requests_holds_for_those_who_waited_too() -> None:
    lab = Lab(circuit_breakers=CircuitBreakers(max_requests=1))
    first, second = lab.ask(), lab.ask()
    lab.resources.requests = 1
    await lab.dials.succeed(Connection())
    assert first.failure is not None
    assert second.failure is not None


async def test_pending_requests_are_limited() -> None:
    lab = Lab(circuit_breakers=CircuitBreakers(max_pending_requests=1))
    lab.ask()
    assert lab.ask().failure == (PoolFailure.OVERFLOW, "")
    assert lab.count("upstream_rq_pending_overflow") == 1


async def test_connections_are_limited_and_who_finds_them_full_waits() -> None:
    lab = Lab(circuit_breakers=CircuitBreakers(max_connections=1))
    first = lab.ask()
    connection = await lab.dials.succeed(Connection(capacity=1))
    waiting = lab.ask()
    await turns()
    assert len(lab.dials.outcomes) == 1
    assert lab.count("upstream_cx_overflow") == 1
    first.exchange.finish()
    assert waiting.exchange.connection is connection


async def test_a_failed_dial_is_told_to_all_who_wait() -> None:
    lab = Lab()
    requesters = [lab.ask() for _ in range(3)]
    await turns()
    lab.dials.outcomes[0].set_exception(ConnectionRefusedError(111, ""))
    await turns()
    expected = (PoolFailure.CONNECT_FAILURE, "delayed_connect_error:_Connection_refused")
    assert [each.failure for each in requesters] == [expected] * 3
    assert lab.resources.pending == 0


async def test_who_cancels_is_not_served() -> None:
    lab = Lab()
    requester = lab.ask()
    lab.pool.cancel(requester)
    connection = await lab.dials.succeed(Connection())
    assert requester.exchange is None
    assert connection.active == 0
    assert lab.resources.pending == 0


async def test_a_connection_that_goes_away_gets_no_new_exchange() -> None:
    lab = Lab()
    first = lab.ask()
    connection = await lab.dials.succeed(Connection())
    lab.pool.going_away(connection)
    connection.going_away = True
    second = lab.ask()
    assert second.exchange is None
    other = await lab.dials.succeed(Connection())
    assert second.exchange.connection is other
    first.exchange.finish()
    assert connection.closed
    assert lab.count("upstream_cx_close_notify") == 1


async def test_who_waits_for_a_connection_that_goes_away_gets_another() -> None:
    lab = Lab()
    requesters = [lab.ask() for _ in range(2)]
    connection = await lab.dials.succeed(Connection(capacity=1, told=False))
    assert requesters[1].exchange is None  # waits for the peer to say how much it takes
    connection.going_away = True
    lab.pool.going_away(connection)
    other = await lab.dials.succeed(Connection())
    assert requesters[1].exchange.connection is other


async def test_max_requests_per_connection() -> None:
    lab = Lab(max_requests_per_connection=2)
    first, second = lab.ask(), lab.ask()
    connection = await lab.dials.succeed(Connection())
    assert connection.going_away
    third = lab.ask()
    assert third.exchange is None
    first.exchange.finish()
    second.exchange.finish()
    assert connection.closed
    assert lab.count("upstream_cx_max_requests") == 1


async def test_a_connection_lives_no_longer_than_max_connection_duration() -> None:
    lab = Lab(max_connection_duration_s=0.01)
    requester = lab.ask()
    connection = await lab.dials.succeed(Connection())
    await until(lambda: connection.going_away)
    assert not connection.closed  # its exchange goes on
    requester.exchange.finish()
    assert connection.closed
    assert lab.count("upstream_cx_max_duration_reached") == 1


async def test_a_connection_without_exchanges_closes_after_the_idle_timeout() -> None:
    lab = Lab(idle_timeout_s=0.01)
    requester = lab.ask()
    connection = await lab.dials.succeed(Connection())
    requester.exchange.finish()
    assert not connection.closed
    await until(lambda: connection.closed)
    assert lab.count("upstream_cx_idle_timeout") == 1
    assert lab.resources.connections == 0


async def test_draining_lets_exchanges_finish() -> None:
    lab = Lab()
    requester = lab.ask()
    connection = await lab.dials.succeed(Connection())
    lab.pool.drain()
    assert not connection.closed
    requester.exchange.finish()
    assert connection.closed


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a timer of the pool."""
    async with asyncio.timeout(2):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)
