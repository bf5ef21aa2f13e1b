"""TCP in a whole mesh: from a pod through its sidecar, and from outside through the gateway."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import pytest

from tests.end_to_end.mesh import Mesh, wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the gateway's TCP port is at an address of its own"),
]

TCP_LAB = """
apiVersion: v1
kind: Service
metadata: {name: tcp-echo}
spec:
  selector: {app: tcp-echo}
  ports: [{name: tcp, port: 9000}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tcp-echo}
spec:
  selector: {matchLabels: {app: tcp-echo}}
  template:
    metadata: {labels: {app: tcp-echo}}
    spec:
      containers:
      - name: tcp-echo
        image: istio/tcp-echo-server:1.3
        args: ["9000", one]
        ports: [{containerPort: 9000}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: tcp-echo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 31400, name: tcp, protocol: TCP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: ["*"]
  gateways: [tcp-echo-gateway]
  tcp:
  - match: [{port: 31400}]
    route: [{destination: {host: tcp-echo, port: {number: 9000}}}]
"""


@pytest.fixture
def mesh(start_mesh: Callable[..., Mesh]) -> Mesh:
    made = start_mesh("httpbin")
    (made.configs / "httpbin" / "tcp.yaml").write_text(TCP_LAB)
    wait_until(lambda: _say(made), "the gateway's TCP port answers", 60)
    return made


def _say(mesh: Mesh) -> str:
    """What the gateway's port 31400 answers to hello; empty while it does not."""
    gateway = next(pod for pod in mesh.status()["pods"] if pod["namespace"] == "istio-system")
    try:
        with socket.create_connection((gateway["ip"], gateway["port_map"].get("31400", 31400)), 20) as client:
            client.sendall(b"hello\n")
            return client.recv(100).decode()
    except OSError:
        return ""


def test_tcp_from_outside_and_from_a_pod(mesh: Mesh) -> None:
    assert _say(mesh) == "one hello\n"
    # curl sends what is no HTTP through a tunnel of its proxy, which is the pod's sidecar.
    script = "(echo hello; sleep 1) | curl -sS -m 20 telnet://tcp-echo:9000"
    found = mesh.command("exec", "deploy/sleep", "--", "sh", "-c", script)
    assert found.stdout == "one hello\n", found.stderr

    def logged() -> str:
        return mesh.command("logs", "deploy/sleep", "-c", "istio-proxy").stdout

    wait_until(lambda: "outbound|9000||tcp-echo.default.svc.cluster.local" in logged(), "the sidecar's line")
