"""Discovery over real gRPC: who is connected, who is told what, and whose trouble is whose."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpclib.exceptions
import pytest

from minimesh.control_plane.discovery.delivery import SyncState
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Client
from minimesh.xds.resource_names import CLUSTER_TYPE_URL as CDS
from minimesh.xds.resource_names import LISTENER_TYPE_URL as LDS

from .ads_peer import TIMEOUT_S, Discovery, Peer, connected, node, serving
from .xds_resources import Resources, cluster, one_route

if TYPE_CHECKING:
    from collections.abc import Callable


def clusters(*names: str) -> Resources:
    return Resources(clusters={name: cluster(name) for name in names})


def has_cluster(name: str) -> Callable[[Peer], bool]:
    return lambda peer: name in str(peer.last(CDS))


def state(discovery: Discovery, short: str = "CDS") -> SyncState | None:
    for connection in discovery.pusher.connections:
        return connection.delivery.status()[short].state
    return None


async def test_a_proxy_is_given_its_configuration_and_its_ack_is_seen() -> None:
    async with serving() as discovery:
        discovery.default = clusters("a")
        async with connected(Peer(node("p")), discovery.server.port) as peer:
            await peer.has(lambda peer: len(peer.received) == 2)
            await discovery.until(lambda: state(discovery) is SyncState.SYNCED)
            assert peer.last(CDS).version_info == peer.client.type(CDS).accepted_version


async def test_a_push_reaches_every_proxy() -> None:
    async with (
        serving() as discovery,
        connected(Peer(node("p")), discovery.server.port) as one,
        connected(Peer(node("q", "router")), discovery.server.port) as other,
    ):
        await discovery.until(lambda: len(discovery.pusher.connections) == 2)
        discovery.default = clusters("a", "b")
        await discovery.push()
        for peer in (one, other):
            await peer.has(lambda peer: peer.last(CDS) is not None and len(peer.last(CDS).resources) == 2)
        assert [each.proxy.type for each in discovery.pusher.connections if each.proxy] == [
            "router",
            "sidecar",
        ]


async def test_a_rejection_is_kept_with_its_text() -> None:
    async with serving() as discovery:
        discovery.default = clusters("a")
        peer = Peer(node("p"))
        peer.reject_with = "no such cluster type"
        async with connected(peer, discovery.server.port):
            await discovery.until(lambda: state(discovery) is SyncState.ERROR)
            status = discovery.pusher.connections[0].delivery.status()["CDS"]
            assert (status.detail, status.acked_version) == ("no such cluster type", "")


async def test_a_proxy_that_stops_reading_holds_up_nobody() -> None:
    async with serving() as discovery:
        # More than the windows of HTTP/2 and of the socket take, so that the writer of this stream stands
        # still.
        big = one_route("a")
        big.clusters["a"].metadata.filter_metadata["ballast"].update({"text": "x" * 20_000_000})
        discovery.resources["stuck"] = big
        stuck = Peer(node("stuck"))
        stuck.reading.clear()
        async with (
            connected(stuck, discovery.server.port),
            connected(Peer(node("p")), discovery.server.port) as p,
        ):
            await discovery.until(lambda: len(discovery.pusher.connections) == 2)
            for number in range(5):
                discovery.default = clusters(f"cluster-{number}")
                await discovery.push()
                await p.has(has_cluster(f"cluster-{number}"))
            assert stuck.received == []


async def test_a_failing_translation_spares_the_last_good_configuration_and_the_others() -> None:
    async with serving() as discovery:
        discovery.default = clusters("a")
        async with (
            connected(Peer(node("p")), discovery.server.port) as p,
            connected(Peer(node("q")), discovery.server.port) as q,
        ):
            await p.has(lambda peer: peer.last(CDS) is not None)
            await q.has(lambda peer: peer.last(CDS) is not None)
            discovery.broken = {"p"}
            discovery.default = clusters("a", "b")
            await discovery.push()
            await q.has(lambda peer: len(peer.last(CDS).resources) == 2)
            [fault] = discovery.pusher.faults
            assert fault.message == "LookupError: no such subset"
            assert "~p.default~" in fault.proxy
            assert len(p.last(CDS).resources) == 1

            discovery.broken = set()
            await discovery.push()
            await p.has(lambda peer: len(peer.last(CDS).resources) == 2)
            assert discovery.pusher.faults == ()


async def test_a_context_that_cannot_be_built_leaves_everything_as_it_was() -> None:
    async with serving() as discovery:
        discovery.default = clusters("a")
        discovery.build_error = ValueError("two gateways on one port")
        await discovery.push()
        assert [fault.message for fault in discovery.pusher.faults] == [
            "ValueError: two gateways on one port"
        ]
        async with connected(Peer(node("p")), discovery.server.port) as peer:
            await peer.has(lambda peer: peer.last(CDS) is not None)  # the context before still serves


async def test_a_proxy_that_registers_while_nothing_can_be_built_has_the_context_before() -> None:
    async with serving() as discovery:
        discovery.default = clusters("a")
        discovery.build_error = ValueError("two gateways on one port")
        announced = node("httpbin", MINIMESH_AUTO_REGISTER="true")
        async with connected(Peer(announced), discovery.server.port) as peer:
            await discovery.until(lambda: bool(discovery.requested))
            await discovery.push()
            await peer.has(lambda peer: peer.last(CDS) is not None)


async def test_a_node_that_is_none_of_istios_is_refused_by_name() -> None:
    async with serving() as discovery:
        peer = Peer(m.base_pb2.Node(id="just-a-name"))
        with pytest.raises(grpclib.exceptions.GRPCError, match="just-a-name"):
            async with asyncio.timeout(TIMEOUT_S):
                await peer.run(discovery.server.port)


async def test_a_proxy_that_asks_to_is_a_workload_while_it_is_connected() -> None:
    async with serving(grace_s=0.0) as discovery:
        announced = node("httpbin", MINIMESH_AUTO_REGISTER="true", LABELS={"app": "httpbin"})
        registrations = discovery.pusher.registrations
        async with connected(Peer(announced), discovery.server.port):
            await discovery.until(lambda: bool(registrations.workloads()))
            [workload] = registrations.workloads()
            assert (workload.name, workload.address, workload.labels) == (
                "httpbin",
                "127.10.0.1",
                {"app": "httpbin"},
            )
            assert discovery.requested == ["registration"]
        await discovery.until(lambda: not discovery.pusher.connections)
        await discovery.until(lambda: not registrations.workloads())
        assert discovery.requested == ["registration", "registration"]


async def test_a_registered_workload_survives_a_reconnect() -> None:
    async with serving(grace_s=60) as discovery:
        announced = node("httpbin", MINIMESH_AUTO_REGISTER="true")
        for _ in range(2):
            async with connected(Peer(announced), discovery.server.port):
                await discovery.until(lambda: bool(discovery.pusher.connections))
            await discovery.until(lambda: not discovery.pusher.connections)
        assert len(discovery.pusher.registrations.workloads()) == 1
        assert discovery.requested == ["registration"]


async def test_an_ordinary_proxy_registers_nothing() -> None:
    async with serving() as discovery, connected(Peer(node("p")), discovery.server.port):
        await discovery.until(lambda: bool(discovery.pusher.connections))
        assert discovery.pusher.registrations.workloads() == ()


async def test_stopping_ends_every_stream() -> None:
    async with serving() as discovery:
        peer = Peer(node("p"))
        task = asyncio.create_task(peer.run(discovery.server.port))
        await discovery.until(lambda: bool(discovery.pusher.connections))
        await discovery.server.stop()
        assert discovery.pusher.connections == ()
        with pytest.raises((grpclib.exceptions.StreamTerminatedError, grpclib.exceptions.GRPCError)):
            async with asyncio.timeout(TIMEOUT_S):
                await task


async def test_a_client_half_may_follow_one_type_only() -> None:
    async with serving() as discovery:
        peer = Peer(node("p"))
        peer.client = Client(node("p"))
        peer.client.subscribe_all(LDS)
        async with connected(peer, discovery.server.port):
            await peer.has(lambda peer: peer.last(LDS) is not None)
            assert state(discovery, "CDS") is SyncState.NOT_SENT
