"""The Sidecar kind: what sidecars can call, and at which ports of their application they answer."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.meshes import push, sidecar_proxy

SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp, port: 9000}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings, namespace: other}
spec:
  selector: {app: ratings}
  ports: [{name: http, port: 80}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: ratings.other.svc.cluster.local}}]
    mirror: {host: web}
"""
WEB = "web.default.svc.cluster.local"
REVIEWS = "reviews.default.svc.cluster.local"
RATINGS = "ratings.other.svc.cluster.local"


def sidecar(spec: str, namespace: str = "default") -> str:
    head = "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: "
    return f"{head}{{name: narrow, namespace: {namespace}}}\nspec: {spec}\n"


def resources(spec: str, proxy: Proxy | None = None, namespace: str = "default") -> Resources:
    return build_resources(proxy or sidecar_proxy({"app": "web"}), push(SERVICES, sidecar(spec, namespace)))


def outbound(found: Resources) -> set[str]:
    return {name.rpartition("|")[2] for name in found.clusters if name.startswith("outbound")}


def virtual_hosts(found: Resources, route: str) -> dict[str, Any]:
    return {host.name: host for host in found.routes[route].virtual_hosts}


def test_egress_hosts_narrow_what_is_known() -> None:
    assert outbound(resources(f"{{egress: [{{hosts: ['./{WEB}']}}]}}")) == {WEB}
    assert outbound(resources("{egress: [{hosts: ['other/*']}]}")) == {RATINGS}
    assert outbound(resources("{egress: [{hosts: ['~/*']}]}")) == set()


def test_where_imported_virtual_services_lead_is_known_too() -> None:
    assert outbound(resources(f"{{egress: [{{hosts: ['./{REVIEWS}']}}]}}")) == {REVIEWS, RATINGS, WEB}


def test_a_sidecar_of_the_root_namespace_means_everybodys_own_namespace_by_a_dot() -> None:
    found = resources("{egress: [{hosts: ['./*']}]}", sidecar_proxy({}, "other"), "istio-system")
    assert outbound(found) == {RATINGS}


@pytest.mark.parametrize(
    ("policy", "host", "cluster"),
    [
        ("", "allow_any", "PassthroughCluster"),
        (", outboundTrafficPolicy: {mode: ALLOW_ANY}", "allow_any", "PassthroughCluster"),
        (", outboundTrafficPolicy: {mode: REGISTRY_ONLY}", "block_all", "BlackHoleCluster"),
        # The mode's own default is the strict one.
        (", outboundTrafficPolicy: {}", "block_all", "BlackHoleCluster"),
    ],
)
def test_calls_to_unknown_hosts_pass_or_not(policy: str, host: str, cluster: str) -> None:
    found = resources(f"{{egress: [{{hosts: ['./*']}}]{policy}}}")
    assert host in virtual_hosts(found, "80")
    passthrough = found.listeners["0.0.0.0_80"].default_filter_chain
    proxy = m.tcp_proxy_pb2.TcpProxy()
    passthrough.filters[0].typed_config.Unpack(proxy)
    assert proxy.cluster == cluster


def test_an_egress_port_has_the_hosts_it_lists_and_others_have_theirs() -> None:
    found = resources(
        f"{{egress: [{{port: {{number: 80, protocol: HTTP, name: http}}, hosts: ['./{WEB}']}},"
        " {hosts: ['other/*']}]}"
    )
    assert set(virtual_hosts(found, "80")) == {f"{WEB}:80", "allow_any"}


@pytest.mark.parametrize(
    ("written", "address", "binds"),
    [
        ("", "0.0.0.0", False),
        (", bind: 10.1.2.3", "10.1.2.3", False),
        (", captureMode: NONE", "127.0.0.1", True),
        (", captureMode: NONE, bind: 127.0.0.9", "127.0.0.9", True),
        (", captureMode: IPTABLES", "0.0.0.0", False),
    ],
)
def test_an_egress_port_listens_where_it_says(written: str, address: str, binds: bool) -> None:
    found = resources(
        f"{{egress: [{{port: {{number: 80, protocol: HTTP, name: http}}, hosts: ['*/*']{written}}}]}}"
    )
    listener = found.listeners[f"{address}_80"]
    assert listener.address.socket_address.address == address
    assert listener.bind_to_port.value is binds


def test_a_tcp_egress_port_may_be_bound() -> None:
    spec = "{egress: [{port: {number: 9000, protocol: TCP, name: tcp}, captureMode: NONE, hosts: ['*/*']}]}"
    listener = resources(spec).listeners["127.0.0.1_9000"]
    proxy = m.tcp_proxy_pb2.TcpProxy()
    listener.filter_chains[0].filters[0].typed_config.Unpack(proxy)
    assert (proxy.cluster, listener.bind_to_port.value) == (f"outbound|9000||{WEB}", True)


def test_a_port_for_a_generic_proxy_knows_every_port_of_its_hosts() -> None:
    spec = "{egress: [{port: {number: 3128, protocol: HTTP_PROXY, name: proxy}, hosts: ['./*']}]}"
    found = resources(spec)
    assert f"{WEB}:80" in virtual_hosts(found, "3128")


def inbound(found: Resources) -> dict[str, Any]:
    return {name: c for name, c in found.clusters.items() if name.startswith("inbound")}


def endpoint(cluster: Any) -> Any:
    return cluster.load_assignment.endpoints[0].lb_endpoints[0].endpoint.address


def chain_ports(found: Resources) -> set[int]:
    chains = found.listeners["virtualInbound"].filter_chains
    return {c.filter_chain_match.destination_port.value for c in chains if "0.0.0.0_" in c.name}


INGRESS = "port: {number: 8080, protocol: HTTP, name: http}"


def test_without_ingress_the_services_say_where_calls_come_in() -> None:
    assert set(inbound(resources("{egress: [{hosts: ['*/*']}]}"))) == {"inbound|8080||", "inbound|9000||"}


@pytest.mark.parametrize(
    ("written", "port"),
    [("", 8080), (", defaultEndpoint: '127.0.0.1:7777'", 7777), (", defaultEndpoint: '0.0.0.0:7777'", 7777)],
)
def test_ingress_says_all_ports_and_where_each_leads(written: str, port: int) -> None:
    found = resources(f"{{ingress: [{{{INGRESS}{written}}}]}}")
    assert set(inbound(found)) == {"inbound|8080||"}
    assert chain_ports(found) == {8080}
    address = endpoint(found.clusters["inbound|8080||"]).socket_address
    assert (address.address, address.port_value) == ("127.0.0.1", port)


def test_ingress_may_lead_to_a_socket() -> None:
    found = resources(f"{{ingress: [{{{INGRESS}, defaultEndpoint: 'unix:///run/app.sock'}}]}}")
    cluster = found.clusters["inbound|8080||"]
    assert endpoint(cluster).pipe.path == "/run/app.sock"
    assert not cluster.HasField("upstream_bind_config")


def test_an_ingress_port_that_nothing_is_redirected_to_is_opened() -> None:
    found = resources(f"{{ingress: [{{{INGRESS}, captureMode: NONE, bind: 10.0.0.5}}]}}")
    listener = found.listeners["10.0.0.5_8080"]
    assert not listener.HasField("bind_to_port")
    assert not listener.filter_chains[0].HasField("filter_chain_match")
    assert chain_ports(found) == set()


def test_ingress_may_be_for_a_port_of_no_service() -> None:
    found = resources("{ingress: [{port: {number: 5555, protocol: TCP, name: tcp}}]}")
    assert chain_ports(found) == {5555}


@pytest.mark.parametrize(
    ("spec", "limit"),
    [
        ("{inboundConnectionPool: {tcp: {maxConnections: 7}}}", 7),
        (f"{{ingress: [{{{INGRESS}, connectionPool: {{tcp: {{maxConnections: 5}}}}}}]}}", 5),
        (
            f"{{inboundConnectionPool: {{tcp: {{maxConnections: 7}}}}, ingress: [{{{INGRESS},"
            " connectionPool: {tcp: {maxConnections: 5}}}]}",
            5,
        ),
    ],
)
def test_a_sidecar_may_limit_connections_to_its_application(spec: str, limit: int) -> None:
    cluster = resources(spec).clusters["inbound|8080||"]
    assert cluster.circuit_breakers.thresholds[0].max_connections.value == limit
