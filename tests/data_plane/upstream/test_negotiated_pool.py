"""The pool for hosts whose TLS handshake decides the protocol."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.circuit_breakers import ClusterResources
from minimesh.data_plane.upstream.cluster import ClusterSettings
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.host import Host, HostSpec
from minimesh.data_plane.upstream.negotiated_pool import NegotiatedPool
from tests.data_plane.upstream.test_connection_pool import Connection as Http1Connection
from tests.data_plane.upstream.test_connection_pool import Requester as Http1Requester
from tests.data_plane.upstream.test_multiplexed_pool import Connection as Http2Connection
from tests.data_plane.upstream.test_multiplexed_pool import turns


class Http1(Http1Connection):
    protocol = "HTTP/1.1"


class Http2(Http2Connection):
    protocol = "HTTP/2"


class Lab:
    """Hosts that speak `speaks`."""

    def __init__(self, speaks: type[Http1 | Http2]) -> None:
        self.speaks = speaks
        self.dials = 0
        self.stats = StatsStore()
        settings = ClusterSettings("c", connect=self._connect, connect_http2=self._connect)
        self.resources = ClusterResources(settings, ClusterStats(self.stats, "c"))
        self.pool = NegotiatedPool(Host(HostSpec("127.0.0.1", 1)), self.resources)

    async def _connect(self, host: Host, settings: ClusterSettings) -> Any:
        self.dials += 1
        return self.speaks()

    async def ask(self, number: int) -> list[Any]:
        """So many requests at once; what each was lent."""
        requesters = [Http1Requester() for _ in range(number)]
        lent = [self.pool.acquire(each) for each in requesters]
        await turns()
        return [one or each.connection for one, each in zip(lent, requesters, strict=True)]

    def count(self, name: str) -> int:
        return int(self.stats.counter(f"cluster.c.{name}").value)


async def test_hosts_that_agree_on_http2_need_one_connection() -> None:
    lab = Lab(Http2)
    exchanges = await lab.ask(3)
    assert len({each.connection for each in exchanges}) == 1
    assert (lab.dials, lab.count("upstream_cx_http2_total")) == (1, 1)


async def test_hosts_that_do_not_get_a_connection_for_each_request() -> None:
    lab = Lab(Http1)
    connections = await lab.ask(3)
    assert len(set(connections)) == 3
    assert (lab.dials, lab.count("upstream_cx_http1_total")) == (3, 3)
    assert lab.resources.pending == 0
    assert lab.resources.connections == 3


async def test_a_host_may_change_its_mind() -> None:
    lab = Lab(Http1)
    await lab.ask(1)
    lab.speaks = Http2
    exchanges = await lab.ask(2)
    assert [type(each.connection) for each in exchanges] == [Http2, Http2]


async def test_who_cancels_is_served_by_neither() -> None:
    lab = Lab(Http1)
    requester = Http1Requester()
    lab.pool.acquire(requester)
    lab.pool.cancel(requester)
    await turns()
    assert requester.connection is None
    assert lab.resources.pending == 0
