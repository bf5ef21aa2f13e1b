"""What a real istioctl asks for over ADS: `istio.io/debug/syncz`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpclib.client
import grpclib.const

from minimesh.control_plane.discovery.ads_server import METHOD
from minimesh.control_plane.discovery.delivery import SyncState
from minimesh.xds import messages as m

from .ads_peer import TIMEOUT_S, Peer, connected, node, serving
from .xds_resources import Resources, cluster


async def ask(port: int, type_url: str) -> Any:
    """One debug request as istioctl makes it, and its response."""
    messages = (m.discovery_pb2.DiscoveryRequest, m.discovery_pb2.DiscoveryResponse)
    async with asyncio.timeout(TIMEOUT_S), grpclib.client.Channel("127.0.0.1", port) as channel:
        method = channel.request(METHOD, grpclib.const.Cardinality.STREAM_STREAM, *messages)
        async with method as stream:
            request = messages[0](type_url=type_url, node=node("istioctl"))
            await stream.send_message(request)
            response = await stream.recv_message()
            await stream.end()
            return response


async def test_syncz_has_each_proxy_with_the_state_of_each_type() -> None:
    async with serving() as discovery:
        discovery.default = Resources(clusters={"a": cluster("a")})
        async with connected(Peer(node("web", CLUSTER_ID="Kubernetes")), discovery.server.port):

            def synced() -> bool:
                found = discovery.pusher.connections
                return bool(found) and found[0].delivery.status()["CDS"].state is SyncState.SYNCED

            await discovery.until(synced)
            response = await ask(discovery.server.port, "istio.io/debug/syncz")
            connections = discovery.pusher.connections
    (packed,) = response.resources
    config = m.csds_pb2.ClientConfig()
    assert packed.Unpack(config)
    assert config.node.id == "sidecar~127.10.0.1~web.default~default.svc.cluster.local"
    assert config.node.metadata["CLUSTER_ID"] == "Kubernetes"
    states = {
        each.type_url.rpartition(".")[2]: m.csds_pb2.ConfigStatus.Name(each.config_status)
        for each in config.generic_xds_configs
    }
    assert states["Cluster"] == "SYNCED"
    assert states["RouteConfiguration"] == "NOT_SENT"
    assert json.loads(response.control_plane.identifier)["Info"]["version"] == "1.27.0"
    assert [each.proxy.name for each in connections if each.proxy] == ["web"]


async def test_an_unknown_debug_type_is_answered_with_nothing() -> None:
    async with serving() as discovery:
        response = await ask(discovery.server.port, "istio.io/debug/edsz")
    assert (response.type_url, len(response.resources)) == ("istio.io/debug/edsz", 0)
