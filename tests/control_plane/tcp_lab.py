"""A TCP service in two versions behind a gateway's port, as in Istio's task about shifting TCP traffic."""

from __future__ import annotations

from tests.control_plane.meshes import INGRESS_GATEWAY, running_pod

GATEWAY_WITH_TCP = INGRESS_GATEWAY + "  - {name: tcp, port: 31400, targetPort: 31400}\n"

TCP_ECHO = """
apiVersion: v1
kind: Service
metadata: {name: tcp-echo, labels: {app: tcp-echo}}
spec:
  selector: {app: tcp-echo}
  clusterIP: 10.96.0.9
  ports:
  - {name: tcp, port: 9000}
  - {name: tcp-other, port: 9001}
"""

TCP_ECHO_PODS = (
    running_pod("tcp-echo-v1", "127.10.0.21", {"app": "tcp-echo", "version": "v1"}, {"tcp": 9000}),
    running_pod("tcp-echo-v2", "127.10.0.22", {"app": "tcp-echo", "version": "v2"}, {"tcp": 9000}),
)

TCP_ECHO_SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: tcp-echo-destination}
spec:
  host: tcp-echo
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
"""

TCP_ECHO_GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: tcp-echo-gateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 31400, name: tcp, protocol: TCP}
    hosts: ["*"]
"""

TCP_ECHO_ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: ["*"]
  gateways: [tcp-echo-gateway]
  tcp:
  - match: [{port: 31400}]
    route:
    - {destination: {host: tcp-echo, port: {number: 9000}, subset: v1}, weight: 80}
    - {destination: {host: tcp-echo, port: {number: 9000}, subset: v2}, weight: 20}
"""

TCP_LAB = (GATEWAY_WITH_TCP, TCP_ECHO, TCP_ECHO_SUBSETS, TCP_ECHO_GATEWAY, TCP_ECHO_ROUTE)
