"""DestinationRules as users write them, through the translation, in force at a proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from minimesh.control_plane.translation.clusters import build_clusters
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.consistent_hash import Ring, normalized
from minimesh.data_plane.upstream.hashing import hash_text
from minimesh.data_plane.upstream.host import HealthFlag
from minimesh.data_plane.upstream.lb_settings import ConsistentHashing
from minimesh.data_plane.xds_client.config_update import LiveConfiguration
from tests.control_plane.labs import HTTPBIN_LAB
from tests.control_plane.meshes import gateway_proxy, push
from tests.data_plane.http.scripted_upstream import ScriptedUpstream
from tests.data_plane.sockets import body_of, exchange, status_of
from tests.data_plane.xds_client.control_plane import endpoints, listener, routes

HTTPBIN = "outbound|8000||httpbin.default.svc.cluster.local"


@asynccontextmanager
async def in_force(
    load_balancer: str, outlier: str, *ups: ScriptedUpstream, **route: object
) -> AsyncIterator[tuple[LiveConfiguration, int]]:
    """A proxy with httpbin's cluster as the translation makes it of such a DestinationRule; and its port."""
    for up in ups:
        await up.start()
    rule = HTTPBIN_LAB.replace("{simple: LEAST_CONN}", f"{load_balancer}\n    outlierDetection: {outlier}")
    (cluster,) = [
        each for each in build_clusters(gateway_proxy(), push(rule)).values() if each.name == HTTPBIN
    ]
    configuration = LiveConfiguration(StatsStore())
    configuration.update_clusters([cluster], "1")
    configuration.update_endpoints([endpoints(HTTPBIN, *(up.port for up in ups))], "1")
    configuration.update_listeners([listener("l", 0, "r")], "1")
    configuration.update_routes([routes("r", HTTPBIN, **route)], "1")
    (live,) = configuration.listeners.values()
    assert live.listener is not None
    try:
        yield configuration, live.listener.bound_addresses[0][1]
    finally:
        configuration.close()
        for up in ups:
            await up.stop()
        await asyncio.sleep(0)


async def test_outlier_detection_ejects_and_the_rest_serves() -> None:
    ups = ScriptedUpstream("0"), ScriptedUpstream("1")
    outlier = "{consecutive5xxErrors: 2, interval: 1s, baseEjectionTime: 30s, maxEjectionPercent: 100}"
    async with in_force("{simple: ROUND_ROBIN}", outlier, *ups) as (configuration, port):
        live = configuration.clusters[HTTPBIN].cluster
        bad, good = live.hosts
        while not bad.flags:
            response = await exchange(port, path="/status/500")
            assert status_of(response) == 500
            if good.flags:
                bad, good = good, bad
        assert bad.flags == HealthFlag.FAILED_OUTLIER_CHECK
        assert {body_of(await exchange(port)) for _ in range(4)} == {
            json.dumps({"tag": str(live.hosts.index(good)), "target": "/"}).encode()
        }


async def test_a_consistent_hash_keeps_a_user_with_a_host() -> None:
    ups = ScriptedUpstream("0"), ScriptedUpstream("1"), ScriptedUpstream("2")
    by_header = [{"header": {"header_name": "x-user"}}]
    balancer = "{consistentHash: {httpHeaderName: x-user}}"
    async with in_force(balancer, "{}", *ups, route={"cluster": HTTPBIN, "hash_policy": by_header}) as found:
        configuration, port = found
        hosts = configuration.clusters[HTTPBIN].cluster.hosts
        ring = Ring(normalized(hosts), ConsistentHashing())
        for user in ("ada", "grace", "edsger"):
            request = f"GET / HTTP/1.1\r\nHost: t\r\nx-user: {user}\r\nConnection: close\r\n\r\n"
            for _ in range(3):
                tag = json.loads(body_of(await exchange(port, request.encode())))["tag"]
                assert hosts[int(tag)] is ring.find(hash_text(user), 0)
