"""Configuration that changes ten times a second under load: no request fails of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.data_plane.sockets import free_port
from tests.data_plane.xds_client.control_plane import (
    ControlPlane,
    cluster,
    control_plane,
    endpoints,
    listener,
    routes,
)
from tests.robustness.load import Load
from tests.robustness.origins import good
from tests.robustness.process import proxy

pytestmark = pytest.mark.slow

PUSHES, PAUSE_S = 40, 0.1

BOOTSTRAP = """
node: {id: stressed, cluster: test}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: %%(admin)d}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %(xds)d}}}
"""


async def test_ten_pushes_a_second(tmp_path: Path) -> None:
    """Routes, endpoints, clusters and the listener in turn; two endpoints, of which one comes and goes."""
    async with good() as one, good() as two, control_plane() as plane:
        port = free_port()
        plane.resources = {
            "CDS": [cluster("a"), cluster("b")],
            "EDS": [endpoints("a", one, two), endpoints("b", two)],
            "LDS": [listener("stressed", port, "r")],
            "RDS": [routes("r", "a")],
        }
        text = BOOTSTRAP % {"xds": plane.port}
        async with proxy(tmp_path, {}, text=text, port=port) as running:
            async with Load(port, "/", 8) as load:
                await load.until(200)
                for turn in range(PUSHES):
                    await _push(plane, turn, port, one, two)
                    await asyncio.sleep(PAUSE_S)  # the rate that is promised
                await load.until(200)
            print(f"{PUSHES} pushes, {dict(load.outcomes)}")
            assert not load.failed
            stats = await running.stats()
            assert not [name for name, value in stats.items() if name.endswith("update_rejected") and value]
            await running.until_idle()


async def _push(plane: ControlPlane, turn: int, port: int, one: int, two: int) -> None:
    """A change of one kind: each turn another."""
    odd = bool(turn // 4 % 2)
    match turn % 4:
        case 0:
            await plane.push("RDS", [routes("r", "b" if odd else "a")])
        case 1:
            await plane.push("EDS", [endpoints("a", *([one] if odd else [one, two])), endpoints("b", two)])
        case 2:
            timeout = {"connect_timeout": f"{turn + 1}s"}
            await plane.push("CDS", [cluster("a", **timeout), cluster("b", **timeout)])
        case _:
            changed = {"server_name": f"turn-{turn}"}
            await plane.push("LDS", [listener("stressed", port, "r", **changed)])
