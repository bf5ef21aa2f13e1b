"""The pool, with connections that are only objects and dials that finish when the test says so."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster import CircuitBreakers, ClusterSettings
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.connection_pool import ClusterResources, ConnectionPool, PoolFailure
from minimesh.data_plane.upstream.host import Host, HostSpec


class Connection:
    def __init__(self) -> None:
        self.pool: ConnectionPool | None = None
        self.closed = False
        self.requests_started = 0
        self.idle_since = 0.0

    def close(self) -> None:
        self.closed = True
        if self.pool is not None:
            self.pool.forget(self)


class Requester:
    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.failure: tuple[PoolFailure, str] | None = None

    def on_pool_ready(self, connection: Connection, host: Host) -> None:
        self.connection = connection

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        self.failure = (failure, transport_reason)


class Dials:
    """A `connect` whose outcomes the test decides."""

    def __init__(self) -> None:
        self.started = 0
        self.outcome: asyncio.Future[Callable[[], Connection]] | None = None

    async def connect(self, host: Host, settings: ClusterSettings) -> Any:
        self.started += 1
        self.outcome = self.outcome or asyncio.get_running_loop().create_future()
        return (await asyncio.shield(self.outcome))()


def make_pool(connect: Any, **settings: Any) -> ConnectionPool:
    chosen = ClusterSettings("c", connect=connect, **settings)
    return ConnectionPool(
        Host(HostSpec("127.0.0.1", 1)), ClusterResources(chosen, ClusterStats(StatsStore(), "c"))
    )


async def turns() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


async def connected(pool: ConnectionPool) -> Requester:
    requester = Requester()
    assert pool.acquire(requester) is None
    await turns()
    assert requester.connection is not None
    return requester


async def simple(host: Host, settings: ClusterSettings) -> Any:
    return Connection()


async def test_the_connection_used_last_is_used_next() -> None:
    pool = make_pool(simple)
    first, second = await connected(pool), await connected(pool)
    pool.release(first.connection, 1.0)
    pool.release(second.connection, 2.0)
    assert pool.acquire(Requester()) is second.connection
    assert pool.acquire(Requester()) is first.connection


async def test_a_released_connection_goes_to_who_waits() -> None:
    pool = make_pool(simple, circuit_breakers=CircuitBreakers(max_connections=1))
    first, second = await connected(pool), Requester()
    assert pool.acquire(second) is None
    await turns()
    assert second.connection is None
    pool.release(first.connection, 1.0)
    assert second.connection is first.connection


async def test_too_many_waiting_is_an_overflow() -> None:
    pool = make_pool(simple, circuit_breakers=CircuitBreakers(max_connections=1, max_pending_requests=1))
    await connected(pool)
    pool.acquire(Requester())
    refused = Requester()
    assert pool.acquire(refused) is None
    assert refused.failure == (PoolFailure.OVERFLOW, "")
    assert pool.resources.stats.rq_pending_overflow.value == 1


async def test_a_failed_dial_fails_everybody_who_waits() -> None:
    async def fail(host: Host, settings: ClusterSettings) -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    pool = make_pool(fail)
    requesters = [Requester(), Requester()]
    for requester in requesters:
        pool.acquire(requester)
    await turns()
    for requester in requesters:
        assert requester.failure is not None
        assert requester.failure[0] is PoolFailure.CONNECT_FAILURE
    assert (pool.resources.pending, pool.resources.connections) == (0, 0)


async def test_a_dial_that_fails_by_mistake_leaves_nobody_waiting() -> None:
    async def mistaken(host: Host, settings: ClusterSettings) -> Any:
        raise RuntimeError("no failure of the network")

    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, facts: told.append(str(facts["exception"])))
    pool = make_pool(mistaken)
    for _ in range(2):
        requester = Requester()
        assert pool.acquire(requester) is None
        await turns()
        assert requester.failure == (PoolFailure.CONNECT_FAILURE, "")
    assert pool.resources.connections == 0
    gc.collect()
    assert set(told) == {"no failure of the network"}


async def test_connect_timeout() -> None:
    dials = Dials()
    pool = make_pool(dials.connect, connect_timeout_s=0.001)
    requester = Requester()
    pool.acquire(requester)
    async with asyncio.timeout(2):
        while requester.failure is None:  # noqa: ASYNC110 - the pool has no event of its own
            await asyncio.sleep(0)
    assert requester.failure == (PoolFailure.CONNECT_TIMEOUT, "")


async def test_who_gives_up_waiting_is_not_called() -> None:
    pool = make_pool(simple)
    gone = Requester()
    pool.acquire(gone)
    pool.cancel(gone)
    await turns()
    assert gone.connection is None
    assert len(pool.idle) == 1
    assert pool.resources.pending == 0


async def test_a_draining_pool_serves_who_waits_and_keeps_nothing() -> None:
    pool = make_pool(simple)
    idle = await connected(pool)
    pool.release(idle.connection, 1.0)
    waiting = Requester()
    pool.idle.pop()
    pool.acquire(waiting)
    pool.drain()
    await turns()
    assert waiting.connection is not None
    pool.release(waiting.connection, 2.0)
    assert waiting.connection.closed
    assert pool.idle == []


async def test_idle_connections_are_swept_away() -> None:
    loop = asyncio.get_running_loop()
    pool = make_pool(simple, idle_timeout_s=0.02)
    used = await connected(pool)
    pool.release(used.connection, loop.time())
    async with asyncio.timeout(2):
        while pool.idle:  # noqa: ASYNC110 - the pool has no event of its own
            await asyncio.sleep(0.005)
    assert used.connection is not None
    assert used.connection.closed


async def test_worn_out_and_idle_connections_close() -> None:
    pool = make_pool(simple, max_requests_per_connection=1)
    used = await connected(pool)
    assert used.connection is not None
    used.connection.requests_started = 1
    pool.release(used.connection, 1.0)
    assert used.connection.closed
    fresh = await connected(pool)
    pool.release(fresh.connection, 5.0)
    pool.close_idle(older_than=5.0)
    assert len(pool.idle) == 1
    pool.close_idle(older_than=5.1)
    assert pool.idle == []
    assert pool.resources.connections == 0


async def test_an_idle_connection_closes_when_it_has_lived_as_long_as_it_may() -> None:
    pool = make_pool(simple, max_connection_duration_s=0.01)
    connection = (await connected(pool)).connection
    assert connection is not None
    pool.release(connection, 0.0)
    async with asyncio.timeout(2):
        while not connection.closed:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


async def test_a_connection_at_the_end_of_its_life_closes_behind_the_exchange_under_way() -> None:
    pool = make_pool(simple, max_connection_duration_s=0.01)
    connection = (await connected(pool)).connection
    assert connection is not None
    reached = pool.resources.stats.store.counter("cluster.c.upstream_cx_max_duration_reached")
    async with asyncio.timeout(2):
        while not reached.value:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)
    assert not connection.closed
    pool.release(connection, 0.0)
    assert connection.closed


async def test_who_waited_for_a_connection_is_refused_when_too_many_requests_are_under_way() -> None:
    pool = make_pool(simple, circuit_breakers=CircuitBreakers(max_requests=1))
    pool.resources.requests = 1
    late = Requester()
    assert pool.acquire(late) is None
    await turns()
    assert late.failure == (PoolFailure.OVERFLOW, "")
    assert len(pool.idle) == 1
    assert pool.resources.stats.store.counter("cluster.c.upstream_rq_active_overflow").value == 1


async def test_a_host_may_have_fewer_connections_than_its_cluster() -> None:
    pool = make_pool(simple, circuit_breakers=CircuitBreakers(max_connections_per_host=1))
    await connected(pool)
    waiting = Requester()
    pool.acquire(waiting)
    await turns()
    assert (waiting.connection, waiting.failure) == (None, None)
    assert len(pool.connections) == 1
    assert pool.resources.stats.cx_overflow.value == 1
