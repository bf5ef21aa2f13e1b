"""A proxy that follows a control plane over real gRPC, with real traffic through what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client import ads_client, dns
from minimesh.data_plane.xds_client.ads_client import AdsClient
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from minimesh.xds import messages as m
from minimesh.xds.ads_protocol import Reaction
from tests.data_plane.sockets import body_of, exchange, free_port, status_of, upstream
from tests.data_plane.xds_client.control_plane import (
    ControlPlane,
    cluster,
    control_plane,
    endpoints,
    listener,
    routes,
)

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@asynccontextmanager
async def following(port: int) -> AsyncIterator[AdsClient]:
    configuration = LiveConfiguration(StatsStore())
    client = AdsClient(configuration, m.base_pb2.Node(id="sidecar~1", cluster="c"), "127.0.0.1", port)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        configuration.close()
        await asyncio.sleep(0)


async def _serve(plane: ControlPlane, upstream_port: int) -> int:
    """Resources of one listener, one route, one cluster; the listener's port."""
    port = free_port()
    plane.resources = {
        "CDS": [cluster("up")],
        "EDS": [endpoints("up", upstream_port)],
        "LDS": [listener("web", port, "r")],
        "RDS": [routes("r", "up")],
    }
    return port


async def test_what_a_control_plane_sends_carries_traffic() -> None:
    async with upstream(b"hello") as up, control_plane() as plane:
        port = await _serve(plane, up)
        async with following(plane.port):
            assert (await plane.reaction("RDS")).reaction is Reaction.ACKED
            assert body_of(await exchange(port)) == b"hello"
            assert plane.nodes[0].id == "sidecar~1"


async def test_a_push_moves_traffic_to_another_endpoint() -> None:
    async with upstream(b"one") as first, upstream(b"two") as second, control_plane() as plane:
        port = await _serve(plane, first)
        async with following(plane.port):
            await plane.reaction("RDS")
            assert body_of(await exchange(port)) == b"one"
            await plane.push("EDS", [endpoints("up", second)])
            await plane.reaction("EDS")
            assert body_of(await exchange(port)) == b"two"


async def test_a_listener_opens_only_once_its_routes_are_there() -> None:
    async with control_plane() as plane:
        port = await _serve(plane, free_port())
        plane.resources["RDS"] = []
        async with following(plane.port) as client:
            await plane.reaction("RDS")
            assert client.configuration.listeners["web"].warming is not None
            with pytest.raises(ConnectionRefusedError):
                await exchange(port)
            await plane.push("RDS", [routes("r", "", direct_response={"status": 204})])
            await plane.reaction("RDS")
            assert status_of(await exchange(port)) == 204


async def test_clusters_are_acknowledged_once_requests_find_them() -> None:
    """Who waits for that before it sends routes never sends a request to a cluster that is not there."""
    async with upstream(b"hello") as up, control_plane() as plane:
        await _serve(plane, up)
        async with following(plane.port) as client:
            await plane.reaction("CDS", Reaction.ACKED)
            await plane.push("CDS", [cluster("up"), cluster("new")])
            # What the new cluster waits for is asked for, and the push says that it knows nothing of it.
            await plane.reaction("EDS", Reaction.SUBSCRIBED)
            await plane.reaction("EDS", Reaction.ACKED)
            assert client.configuration.has_warming_clusters
            assert not plane.has_reaction("CDS")
            await plane.push("EDS", [endpoints("new", up)])
            await plane.reaction("CDS", Reaction.ACKED)
            assert not client.configuration.has_warming_clusters


async def test_a_cluster_is_found_once_the_names_of_its_hosts_were_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_answer = asyncio.Event()

    async def answer_late(hostname: str) -> list[str]:
        await may_answer.wait()
        return ["127.0.0.1"]

    monkeypatch.setattr(dns, "_addresses", answer_late)
    async with upstream(b"hello") as up, control_plane() as plane:
        port = await _serve(plane, up)
        assignment = m.json_format.MessageToDict(endpoints("up", up), preserving_proto_field_name=True)
        address = assignment["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        address["address"] = "up.example"
        named = cluster("up", type="STRICT_DNS", load_assignment=assignment)
        named.ClearField("eds_cluster_config")
        plane.resources["CDS"] = [named]
        async with following(plane.port) as client:
            await plane.reaction("RDS")
            assert client.configuration.has_warming_clusters
            assert not plane.has_reaction("CDS")
            may_answer.set()
            await plane.reaction("CDS", Reaction.ACKED)
            assert body_of(await exchange(port)) == b"hello"


async def test_newer_clusters_take_the_place_of_those_that_are_warming() -> None:
    async with upstream(b"hello") as up, control_plane() as plane:
        await _serve(plane, up)
        async with following(plane.port):
            await plane.reaction("CDS", Reaction.ACKED)
            await plane.push("CDS", [cluster("up"), cluster("new")])
            await plane.push("CDS", [cluster("up")])
            assert (await plane.reaction("CDS")).reaction is Reaction.ACKED


async def test_a_bad_push_is_rejected_by_field_and_the_old_one_stays_in_force() -> None:
    async with upstream(b"hello") as up, control_plane() as plane:
        port = await _serve(plane, up)
        async with following(plane.port):
            await plane.reaction("RDS")
            bad = routes("r", "", direct_response={"status": 200}, match={"safe_regex": {"regex": "("}})
            await plane.push("RDS", [bad])
            rejected = await plane.reaction("RDS")
            assert rejected.reaction is Reaction.NACKED
            assert rejected.error.startswith(
                "Error adding/updating route configuration(s) "
                "r: virtual_hosts[0].routes[0].match.safe_regex.regex: "
            )
            assert body_of(await exchange(port)) == b"hello"


async def test_what_is_not_supported_is_refused_by_name() -> None:
    async with control_plane() as plane:
        empty = {"@type": "type.googleapis.com/envoy.config.core.v3.Node"}
        lua = {"name": "envoy.filters.http.lua", "typed_config": empty}
        port = await _serve(plane, free_port())
        plane.resources["LDS"] = [listener("web", port, "r", http_filters=[lua])]
        async with following(plane.port):
            rejected = await plane.reaction("LDS")
            assert rejected.reaction is Reaction.NACKED
            assert "http_filters[0]" in rejected.error


async def test_nothing_of_a_response_with_one_bad_cluster_is_applied() -> None:
    async with control_plane() as plane:
        bad = cluster(
            "bad",
            transport_socket={
                "name": "tls",
                "typed_config": {"@type": f"{_TLS}.DownstreamTlsContext"},  # for the other side
            },
        )
        plane.resources = {"CDS": [cluster("good"), bad]}
        async with following(plane.port) as client:
            rejected = await plane.reaction("CDS")
            assert rejected.error == (
                "Error adding/updating cluster(s) bad: transport_socket: tls: not supported"
            )
            assert client.configuration.clusters == {}


async def test_an_address_in_use_is_told_to_the_control_plane() -> None:
    async with upstream(b"taken") as taken, control_plane() as plane:
        await _serve(plane, free_port())
        plane.resources["LDS"] = [listener("web", taken, "r")]
        async with following(plane.port):
            rejected = await plane.reaction("RDS", Reaction.NACKED)
            assert f"web: cannot bind '127.0.0.1:{taken}'" in rejected.error


async def test_a_removed_listener_refuses_connections_and_comes_back() -> None:
    async with upstream(b"hello") as up, control_plane() as plane:
        port = await _serve(plane, up)
        everything = plane.resources["LDS"]
        async with following(plane.port):
            await plane.reaction("RDS")
            await plane.push("LDS", [])
            await plane.reaction("LDS")
            with pytest.raises(ConnectionRefusedError):
                await exchange(port)
            await plane.push("LDS", everything)
            await plane.reaction("RDS")
            assert body_of(await exchange(port)) == b"hello"


async def test_a_removed_cluster_is_not_found_by_requests() -> None:
    async with upstream(b"hello") as up, control_plane() as plane:
        port = await _serve(plane, up)
        async with following(plane.port):
            await plane.reaction("RDS")
            await plane.push("CDS", [])
            await plane.reaction("CDS")
            assert status_of(await exchange(port)) == 503


async def test_the_configuration_outlives_the_control_plane_and_follows_its_successor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ads_client, "FIRST_BACKOFF_S", 0.02)
    async with upstream(b"one") as first, upstream(b"two") as second, control_plane() as plane:
        port = await _serve(plane, first)
        resources, control_port = plane.resources, plane.port
        async with following(control_port) as client:
            await plane.reaction("RDS")
            await plane.stop()
            assert body_of(await exchange(port)) == b"one"
            async with control_plane(control_port) as successor:
                successor.resources = {**resources, "EDS": [endpoints("up", second)]}
                await successor.reaction("EDS")
                assert client.connected
                assert body_of(await exchange(port)) == b"two"


async def test_no_request_fails_while_configuration_changes() -> None:
    async with upstream(b"one") as first, upstream(b"two") as second, control_plane() as plane:
        port = await _serve(plane, first)
        plane.resources["CDS"].append(cluster("other"))
        plane.resources["EDS"].append(endpoints("other", second))
        async with following(plane.port):
            await plane.reaction("RDS")
            changing = asyncio.create_task(_push_weights(plane))
            answers = []
            while not changing.done():
                answers.append(await exchange(port))
            await changing
            assert {status_of(answer) for answer in answers} == {200}
            assert body_of(await exchange(port)) == b"two"


async def _push_weights(plane: ControlPlane) -> None:
    """From all to one cluster to all to the other, and new listener settings on the way."""
    for weight in range(0, 101, 10):
        shares = [{"name": "up", "weight": 100 - weight}, {"name": "other", "weight": weight}]
        split = {"weighted_clusters": {"clusters": [share for share in shares if share["weight"]]}}
        await plane.push("RDS", [routes("r", "", route=split)])
        await plane.reaction("RDS")
        changed = m.listener_pb2.Listener()
        changed.CopyFrom(plane.resources["LDS"][0])
        changed.tcp_backlog_size.value = 100 + weight
        await plane.push("LDS", [changed])
        await plane.reaction("LDS")


async def test_what_is_not_simulated_is_said_once_and_does_not_hold_up_the_rest() -> None:
    async with control_plane() as plane:
        clusters = [cluster("a", preconnect_policy={}), cluster("b", track_cluster_stats={})]
        plane.resources = {"CDS": clusters, "EDS": [endpoints("a"), endpoints("b")]}
        said: list[str] = []
        configuration = LiveConfiguration(StatsStore())
        client = AdsClient(configuration, m.base_pb2.Node(), "127.0.0.1", plane.port, report=said.append)
        task = asyncio.create_task(client.run())
        await plane.reaction("CDS")
        await plane.push("CDS", plane.resources["CDS"])
        assert (await plane.reaction("CDS")).reaction is Reaction.ACKED
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        configuration.close()
        assert said == [
            "preconnect_policy of cluster 'a': accepted, not simulated",
            "track_cluster_stats of cluster 'b': accepted, not simulated",
        ]
