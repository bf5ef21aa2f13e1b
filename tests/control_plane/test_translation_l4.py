"""TCP and TLS rules of VirtualServices: which chains a gateway and a sidecar get, in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from minimesh.control_plane.translation import Resources, build_resources
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.xds import messages as m
from tests.control_plane.descriptions import describe_listeners
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push, sidecar_proxy
from tests.control_plane.tcp_lab import (
    GATEWAY_WITH_TCP,
    TCP_ECHO,
    TCP_ECHO_GATEWAY,
    TCP_ECHO_ROUTE,
    TCP_ECHO_SUBSETS,
    TCP_LAB,
)
from tests.control_plane.test_translation_envoy import assert_envoy_accepts

V1 = "outbound|9000|v1|tcp-echo.default.svc.cluster.local"
V2 = "outbound|9000|v2|tcp-echo.default.svc.cluster.local"
ECHO = "outbound|9000||tcp-echo.default.svc.cluster.local"


def resources(*manifests: str, proxy: Proxy | None = None) -> Resources:
    return build_resources(proxy or gateway_proxy(), push(*manifests))


def chains(*manifests: str, proxy: Proxy | None = None, listener: str) -> list[str]:
    """The chains of one listener."""
    lines = describe_listeners(resources(*manifests, proxy=proxy))
    return [line.removeprefix(listener).strip() for line in lines if line.startswith(listener)]


# --- a gateway's TCP servers ----------------------------------------------------------------------


def test_a_gateways_tcp_port_leads_to_the_destinations_by_weight() -> None:
    assert chains(*TCP_LAB, listener="0.0.0.0_31400") == [f"-> tcp 80 {V1}, 20 {V2}"]


def test_a_destination_without_weight_gets_nothing() -> None:
    route = TCP_ECHO_ROUTE.replace("weight: 80", "weight: 0")
    assert chains(*TCP_LAB[:-1], route, listener="0.0.0.0_31400") == [f"-> tcp 20 {V2}"]


def test_a_lone_destination_needs_no_weight() -> None:
    only = TCP_ECHO_ROUTE[
        : TCP_ECHO_ROUTE.index("    - {destination: {host: tcp-echo, port: {number: 9000}, subset: v2")
    ]
    assert chains(*TCP_LAB[:-1], only, listener="0.0.0.0_31400") == [f"-> tcp {V1}"]


@pytest.mark.parametrize("protocol", ["TCP", "MONGO", "Mongo", "MYSQL", "REDIS"])
def test_protocols_on_top_of_tcp_are_served_as_tcp(protocol: str) -> None:
    gateway = TCP_ECHO_GATEWAY.replace("protocol: TCP", f"protocol: {protocol}")
    found = push(GATEWAY_WITH_TCP, TCP_ECHO, TCP_ECHO_SUBSETS, gateway, TCP_ECHO_ROUTE)
    assert "0.0.0.0_31400" in build_resources(gateway_proxy(), found).listeners


def test_a_rule_for_another_port_or_gateway_leaves_the_port_closed() -> None:
    other_port = TCP_ECHO_ROUTE.replace("{port: 31400}", "{port: 31401}")
    assert chains(*TCP_LAB[:-1], other_port, listener="0.0.0.0_31400") == []
    other_gateway = TCP_ECHO_ROUTE.replace("{port: 31400}", "{gateways: [another]}")
    assert chains(*TCP_LAB[:-1], other_gateway, listener="0.0.0.0_31400") == []


def test_a_gateway_takes_the_first_rule_that_fits() -> None:
    two = TCP_ECHO_ROUTE.replace(
        "  tcp:\n",
        "  tcp:\n  - match: [{port: 1}]\n    route: [{destination: {host: nowhere}}]\n"
        "  - match: [{port: 1}, {gateways: [tcp-echo-gateway]}]\n"
        "    route: [{destination: {host: tcp-echo, port: {number: 9001}}}]\n",
    )
    assert chains(*TCP_LAB[:-1], two, listener="0.0.0.0_31400") == [f"-> tcp {ECHO.replace('9000', '9001')}"]


def test_a_server_that_ends_tls_may_hand_bytes_on() -> None:
    ends_tls = TCP_ECHO_GATEWAY.replace(
        "protocol: TCP}", "protocol: TLS}\n    tls: {mode: SIMPLE, credentialName: echo}"
    ).replace('["*"]', "[echo.example.com]")
    found = resources(GATEWAY_WITH_TCP, TCP_ECHO, TCP_ECHO_SUBSETS, ends_tls, TCP_ECHO_ROUTE)
    [line] = [line for line in describe_listeners(found) if line.startswith("0.0.0.0_31400")]
    assert line == f"0.0.0.0_31400 (sni echo.example.com) -> tcp 80 {V1}, 20 {V2}"
    assert found.listeners["0.0.0.0_31400"].filter_chains[0].HasField("transport_socket")


def test_a_server_may_keep_its_hosts_for_one_namespace() -> None:
    gateway = TCP_ECHO_GATEWAY.replace('["*"]', '["elsewhere/*"]')
    assert chains(*TCP_LAB[:3], gateway, TCP_ECHO_ROUTE, listener="0.0.0.0_31400") == []
    gateway = TCP_ECHO_GATEWAY.replace('["*"]', '["./*"]')
    assert len(chains(*TCP_LAB[:3], gateway, TCP_ECHO_ROUTE, listener="0.0.0.0_31400")) == 1


# --- a gateway that passes TLS through ------------------------------------------------------------

PASSTHROUGH = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: mygateway}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    tls: {mode: PASSTHROUGH}
    hosts: [nginx.example.com]
---
apiVersion: v1
kind: Service
metadata: {name: my-nginx}
spec:
  selector: {run: my-nginx}
  ports: [{name: https, port: 443}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: nginx}
spec:
  hosts: [nginx.example.com]
  gateways: [mygateway]
  tls:
  - match: [{port: 443, sniHosts: [nginx.example.com]}]
    route: [{destination: {host: my-nginx, port: {number: 443}}}]
"""
NGINX = "outbound|443||my-nginx.default.svc.cluster.local"


def test_a_gateway_passes_through_by_server_name() -> None:
    assert chains(INGRESS_GATEWAY, PASSTHROUGH, listener="0.0.0.0_8443") == [
        f"(sni nginx.example.com) -> tcp {NGINX}"
    ]


def test_the_name_that_a_rule_asks_for_counts_where_the_servers_is_wider() -> None:
    wide = PASSTHROUGH.replace("hosts: [nginx.example.com]\n---", 'hosts: ["*.example.com"]\n---')
    assert chains(INGRESS_GATEWAY, wide, listener="0.0.0.0_8443") == [
        f"(sni nginx.example.com) -> tcp {NGINX}"
    ]


def test_two_rules_for_one_name_do_not_spoil_the_listener() -> None:
    twice = PASSTHROUGH + PASSTHROUGH[PASSTHROUGH.rindex("---") :].replace(
        "name: nginx}", "name: another}"
    ).replace("host: my-nginx", "host: elsewhere")
    assert len(chains(INGRESS_GATEWAY, twice, listener="0.0.0.0_8443")) == 1


AUTO = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: cross-network, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 443, name: tls, protocol: TLS}
    tls: {mode: AUTO_PASSTHROUGH}
    hosts: ["*.default.svc.cluster.local"]
"""


def test_auto_passthrough_has_a_chain_and_a_cluster_for_each_subset() -> None:
    found = resources(INGRESS_GATEWAY, TCP_ECHO, TCP_ECHO_SUBSETS, AUTO)
    lines = describe_listeners(found)
    name = "outbound_.9000_.v1_.tcp-echo.default.svc.cluster.local"
    protocols = "istio istio-peer-exchange istio-http/1.0 istio-http/1.1 istio-h2"
    assert f"0.0.0.0_8443 (sni {name} {protocols}) -> tcp {name}" in lines
    assert len(lines) == 6  # two ports, each with two subsets; none of istio-system's own service
    cluster = found.clusters[name]
    assert cluster.eds_cluster_config.service_name == name
    assert name in found.endpoints
    assert name not in resources(INGRESS_GATEWAY, TCP_ECHO, TCP_ECHO_SUBSETS).clusters


# --- sidecars -------------------------------------------------------------------------------------

CALLER = sidecar_proxy({"app": "sleep"})
MESH_ROUTE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: [tcp-echo]
  tcp:
  - match: [MATCH]
    route: [{destination: {host: tcp-echo, port: {number: 9000}, subset: v1}}]
  - route: [{destination: {host: tcp-echo, port: {number: 9000}, subset: v2}}]
"""


def routed(match: str, rest: str = "") -> list[str]:
    route = MESH_ROUTE.replace("MATCH", match) + rest
    return chains(TCP_ECHO, TCP_ECHO_SUBSETS, route, proxy=CALLER, listener="10.96.0.9_9000")


def test_a_tcp_service_has_a_listener_at_its_own_address() -> None:
    assert chains(TCP_ECHO, proxy=CALLER, listener="10.96.0.9_9000") == [f"-> tcp {ECHO}"]
    assert chains(TCP_ECHO, proxy=CALLER, listener="10.96.0.9_9001") == [
        f"-> tcp {ECHO.replace('9000', '9001')}"
    ]


@pytest.mark.parametrize(
    ("match", "subset"),
    [
        ("{port: 9000}", "v1"),
        ("{port: 9001}", "v2"),
        ("{sourceLabels: {app: sleep}}", "v1"),
        ("{sourceLabels: {app: other}}", "v2"),
        ("{sourceNamespace: default}", "v1"),
        ("{sourceNamespace: elsewhere}", "v2"),
        ("{gateways: [mesh]}", "v1"),
        ("{gateways: [mesh], sourceLabels: {app: other}}", "v2"),
        ("{gateways: [another]}", "v2"),
    ],
)
def test_what_is_known_of_the_caller_chooses_the_rule(match: str, subset: str) -> None:
    assert routed(match) == [f"-> tcp outbound|9000|{subset}|tcp-echo.default.svc.cluster.local"]


def test_subnets_are_left_for_the_connection_to_tell() -> None:
    assert routed('{destinationSubnets: ["10.96.0.0/24", 10.97.0.1]}') == [
        f"(10.96.0.0/24 10.97.0.1/32) -> tcp {V1}",
        f"-> tcp {V2}",
    ]


def test_where_all_rules_ask_for_subnets_the_service_takes_the_rest() -> None:
    route = MESH_ROUTE.replace("MATCH", "{destinationSubnets: [10.96.0.0/24]}")
    route = route[: route.index("  - route:")]
    found = chains(TCP_ECHO, TCP_ECHO_SUBSETS, route, proxy=CALLER, listener="10.96.0.9_9000")
    assert found == [f"(10.96.0.0/24) -> tcp {V1}", f"-> tcp {ECHO}"]


EGRESS = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cnn}
spec:
  hosts: [edition.cnn.com]
  ports: [{number: 443, name: tls, protocol: TLS}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: direct-cnn-through-egress-gateway}
spec:
  hosts: [edition.cnn.com]
  gateways: [mesh, istio-egressgateway]
  tls:
  - match: [{gateways: [istio-egressgateway], port: 443, sniHosts: [edition.cnn.com]}]
    route: [{destination: {host: edition.cnn.com, port: {number: 443}}}]
  - match: [{gateways: [mesh], port: 443, sniHosts: [edition.cnn.com]}]
    route: [{destination: {host: istio-egressgateway.istio-system.svc.cluster.local, port: {number: 443}}}]
"""


def test_a_sidecar_sends_a_tls_name_through_the_egress_gateway() -> None:
    assert chains(EGRESS, proxy=CALLER, listener="0.0.0.0_443") == [
        "(sni edition.cnn.com) -> tcp outbound|443||istio-egressgateway.istio-system.svc.cluster.local",
        "-> tcp PassthroughCluster",
    ]


def test_a_wildcard_of_names_is_matched_as_such() -> None:
    wild = EGRESS.replace("edition.cnn.com", "'*.wikipedia.org'").replace(
        "resolution: DNS", "resolution: NONE"
    )
    [first, *_] = chains(wild, proxy=CALLER, listener="0.0.0.0_443")
    assert first.startswith("(sni *.wikipedia.org)")


RANGED = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example.com]
  addresses: [{addresses}]
  ports: [{{number: 27017, name: mongo, protocol: MONGO}}]
  resolution: NONE
"""


def test_services_outside_are_told_apart_by_their_subnets() -> None:
    a = RANGED.format(name="a", addresses="10.1.0.0/16")
    b = RANGED.format(name="b", addresses="10.2.0.0/16, 10.3.0.7")
    assert chains(a, b, proxy=CALLER, listener="0.0.0.0_27017") == [
        "(10.1.0.0/16) -> tcp outbound|27017||a.example.com",
        "(10.2.0.0/16) -> tcp outbound|27017||b.example.com",
        "-> tcp PassthroughCluster",
    ]
    assert chains(a, b, proxy=CALLER, listener="10.3.0.7_27017") == ["-> tcp outbound|27017||b.example.com"]


def test_a_tls_service_with_an_address_sends_other_names_where_they_were_going() -> None:
    service = TCP_ECHO.replace("{name: tcp, port: 9000}", "{name: tls, port: 9000}")
    route = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: tcp-echo}
spec:
  hosts: [tcp-echo]
  tls:
  - match: [{sniHosts: [tcp-echo]}]
    route: [{destination: {host: tcp-echo, port: {number: 9000}, subset: v1}}]
"""
    assert chains(service, proxy=CALLER, listener="10.96.0.9_9000") == [f"-> tcp {ECHO}"]
    assert chains(service, TCP_ECHO_SUBSETS, route, proxy=CALLER, listener="10.96.0.9_9000") == [
        f"(sni tcp-echo) -> tcp {V1}",
        "-> tcp PassthroughCluster",
    ]


def test_a_policys_idle_time_and_hash_reach_the_tcp_proxy() -> None:
    policy = TCP_ECHO_SUBSETS.replace(
        "  subsets:",
        "  trafficPolicy:\n    connectionPool: {tcp: {idleTimeout: 30s}}\n"
        "    loadBalancer: {consistentHash: {useSourceIp: true}}\n  subsets:",
    )
    found = resources(TCP_ECHO, policy, proxy=CALLER)
    tcp = m.tcp_proxy_pb2.TcpProxy()
    found.listeners["10.96.0.9_9000"].filter_chains[0].filters[0].typed_config.Unpack(tcp)
    assert tcp.idle_timeout.seconds == 30
    assert tcp.hash_policy[0].HasField("source_ip")


@pytest.mark.slow
@pytest.mark.parametrize(
    "manifests",
    [
        (TCP_ECHO, TCP_ECHO_SUBSETS, MESH_ROUTE.replace("MATCH", "{destinationSubnets: [10.96.0.0/24]}")),
        (EGRESS, RANGED.format(name="a", addresses="10.1.0.0/16, 10.3.0.7")),
        (RANGED.format(name="a", addresses="10.1.0.0/16"), RANGED.format(name="b", addresses="10.2.0.0/16")),
        (TCP_ECHO.replace("name: tcp,", "name: tls,").replace("name: tcp-other", "name: unnamed"),),
    ],
    ids=["subnets of a rule", "names", "subnets of services", "TLS and unknown protocols"],
)
def test_envoy_accepts_a_sidecars_listeners(manifests: tuple[str, ...], tmp_path: Path) -> None:
    assert_envoy_accepts(resources(*manifests, proxy=CALLER), tmp_path)
