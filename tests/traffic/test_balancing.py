"""How a plain connection's host is chosen: both engines choose alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.control_plane.meshes import gateway_proxy
from tests.control_plane.tcp_lab import TCP_ECHO_SUBSETS, TCP_LAB
from tests.traffic.engines import serve
from tests.traffic.servers import pod_at, tcp_echo

pytestmark = pytest.mark.slow

BY_SOURCE = TCP_ECHO_SUBSETS.replace(
    "  subsets:", "  trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}\n  subsets:"
)
ALL_PODS = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: ["*"]
  gateways: [tcp-echo-gateway]
  tcp: [{route: [{destination: {host: tcp-echo, port: {number: 9000}}}]}]
"""


async def test_connections_of_one_address_go_to_one_pod_and_to_the_same_on_both(tmp_path: Path) -> None:
    chosen = {}
    async with tcp_echo("a") as a, tcp_echo("b") as b, tcp_echo("c") as c:
        pods = [
            pod_at(port, {"app": "tcp-echo"}, 9000, name=f"tcp-echo-{index}")
            for index, port in enumerate((a, b, c))
        ]
        manifests = [TCP_LAB[0], TCP_LAB[1], BY_SOURCE, TCP_LAB[3], ALL_PODS, *pods]
        for engine in ("minimesh", "envoy"):
            async with serve(engine, gateway_proxy(), manifests, tmp_path) as served:
                answers = set()
                for _ in range(12):
                    reader, writer = await served.connect(31400)
                    writer.write(b"hello")
                    answers.add(await reader.read(100))
                    writer.close()
                chosen[engine] = answers
    assert len(chosen["minimesh"]) == 1
    assert chosen["minimesh"] == chosen["envoy"]
