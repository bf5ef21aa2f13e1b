"""Tables from istiod's own tests: domains, route configurations, retries, faults, order of routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from google.protobuf import json_format

from minimesh.control_plane.mesh_config import DefaultRetryPolicy, OutboundTrafficPolicy
from minimesh.control_plane.push_context import MeshConfig, PushContext
from minimesh.control_plane.service_registry import ServiceRegistry
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import Resolution, Service, ServicePort
from minimesh.control_plane.translation.http_filters import build_fault
from minimesh.control_plane.translation.http_routes import mirror_fraction
from minimesh.control_plane.translation.proxy import Proxy
from minimesh.control_plane.translation.retries import build_retry_policy
from minimesh.control_plane.translation.route_match import (
    is_catch_all,
    is_token_claim,
    sort_catch_all_last,
    source_matches,
)
from minimesh.control_plane.translation.routes import build_routes
from minimesh.control_plane.translation.virtual_host_domains import service_domains
from minimesh.xds import messages as m
from tests.control_plane import facts
from tests.control_plane.meshes import decode_documents
from tests.control_plane.oracles import load, needs_oracles

CASES = load("tables.json")


def cases_of(*kinds: str) -> Any:
    found = [case for case in CASES if case["kind"] in kinds]
    return pytest.mark.parametrize("case", found, ids=[case["id"].partition("/")[2] for case in found])


pytestmark = needs_oracles


@cases_of("virtual_host_domains")
def test_a_service_is_called_by_these_domains(case: dict[str, Any]) -> None:
    written, proxy = case["input"]["service"], case["input"]["proxy"]
    addresses = written.get("ClusterVIPs", {}).get("Addresses", {})
    service = Service(
        hostname=written["Hostname"],
        namespace="default",
        name=written["Hostname"],
        ports=(),
        addresses=tuple(addresses.get(proxy.get("Metadata", {}).get("ClusterID"), ())),
        external=written["MeshExternal"],
    )
    # The tests of istiod look at the form without ports, which is what it sends.
    ipv6 = ":" in "".join(proxy.get("IPAddresses", [])[:1])
    domains, _ = service_domains(service, 0, proxy["DNSDomain"], ipv6=ipv6)
    assert sorted(domains) == sorted(case["expect"])


@cases_of("gateway_route_config")
def test_a_gateway_gets_this_route_configuration(case: dict[str, Any]) -> None:
    push = PushContext(ServiceRegistry([]), decode_documents(case["input"]), MeshConfig())
    proxy = Proxy(
        "router", "gw", "1.1.1.1", "default", {"istio": "ingressgateway"}, "default.svc.cluster.local"
    )
    [config] = build_routes(proxy, push, [case["context"]["route_config"]])
    expected = case["expect"]
    assert {v.name: list(v.domains) for v in config.virtual_hosts} == expected["virtual_host_domains"]
    assert {v.name: len(v.routes) for v in config.virtual_hosts} == expected["routes_per_virtual_host"]
    assert all((v.require_tls == v.ALL) is expected["require_tls_all"] for v in config.virtual_hosts)


@cases_of("sidecar_route_config")
def test_a_sidecar_gets_this_route_configuration(case: dict[str, Any]) -> None:
    context = case["context"]
    policy = (
        OutboundTrafficPolicy.REGISTRY_ONLY if context["registry_only"] else OutboundTrafficPolicy.ALLOW_ANY
    )
    mesh = MeshConfig(domain_suffix="", outbound_traffic_policy=policy)
    registry = ServiceRegistry(sidecar_service(service) for service in context["services"])
    push = PushContext(registry, decode_documents(case["input"]), mesh)
    proxy = Proxy("sidecar", "sc", "1.1.1.1", "not-default", {}, "not-default.example.org")
    [config] = build_routes(proxy, push, [context["route_config"]])
    found = {oracle_name(v.name): sorted(v.domains) for v in config.virtual_hosts}
    assert found == {n: sorted(d) for n, d in case["expect"]["virtual_host_domains"].items()}
    if case["expect"]["routes"] is not None:
        assert sum(len(v.routes) for v in config.virtual_hosts) == case["expect"]["routes"]


def oracle_name(name: str) -> str:
    """The oracle writes the catch-all hosts' names, `allow_any` and `block_all`, without the underscore."""
    return name.replace("_", "")


def sidecar_service(written: Mapping[str, Any]) -> Service:
    """A service of istiod's test; one with the wildcard address is headless."""
    headless = written["address"] == "wildcardIPv4"
    return Service(
        hostname=written["host"].lower(),
        namespace=written["namespace"],
        name=written["host"],
        ports=tuple(ServicePort(f"http-{p}", p, Protocol.HTTP) for p in written["ports"]),
        addresses=() if headless or not written["address"] else (written["address"],),
        resolution=Resolution.PASSTHROUGH if headless else Resolution.ENDPOINTS,
        export_to=("*",) if written["export"] == "Public" else (".",),
    )


@cases_of("retry_policy")
def test_retries_become_this_policy(case: dict[str, Any]) -> None:
    retries = rule_with(case["input"]["http_route"]).retries
    policy = build_retry_policy(retries, DefaultRetryPolicy(), case["input"]["hash_policy"])
    action = m.route_components_pb2.RouteAction(retry_policy=policy)
    for fact in case["expect"]:
        facts.check(action, fact)


@cases_of("TestMirrorPercent")
def test_this_share_is_mirrored(case: dict[str, Any]) -> None:
    written = {**case["input"], "mirror": {"host": "mirror"}}
    rule = rule_with(written)
    fraction = mirror_fraction(rule.mirror_percentage)
    full = json_format.MessageToDict(fraction, always_print_fields_with_no_presence=True)
    assert full == {**case["expect"], "runtimeKey": ""}


@cases_of("TestTranslateFault")
def test_faults_become_this_filter_setting(case: dict[str, Any]) -> None:
    fault = build_fault(rule_with({"fault": case["input"]}).fault)
    assert json_format.MessageToDict(fault) == case["expect"]


@cases_of("TestSourceMatchHTTP")
def test_a_rule_concerns_this_caller(case: dict[str, Any]) -> None:
    args = case["input"]["args"]
    [match] = rule_with({"match": [args["match"]]}).match
    assert source_matches(match, {}, args["proxyNamespace"], ()) is case["expect"]


@cases_of("TestMatchTCP")
def test_a_tcp_rule_concerns_this_caller(case: dict[str, Any]) -> None:
    args = case["input"]["args"]
    document = virtual_service({"tcp": [{"match": [args["match"]], "route": [destination()]}]})
    [match] = decode_documents([document])[0].spec.tcp[0].match
    assert source_matches(match, {}, args["namespace"], ()) is case["expect"]


@cases_of("TestMatchTLS")
def test_a_tls_rule_concerns_this_caller(case: dict[str, Any]) -> None:
    args = case["input"]["args"]
    tls = {"match": [{"sniHosts": ["example.org"], **args["match"]}], "route": [destination()]}
    [match] = decode_documents([virtual_service({"tls": [tls]})])[0].spec.tls[0].match
    assert source_matches(match, {}, args["namespace"], ()) is case["expect"]


@cases_of("TestTranslateMetadataMatch")
def test_a_header_name_is_a_claim_of_a_token(case: dict[str, Any]) -> None:
    """The header's name is the case's."""
    assert is_token_claim(case["id"].partition("/")[2]) is case["expect"]


@cases_of("TestIsCatchAllRoute")
def test_a_route_matches_everything_or_not(case: dict[str, Any]) -> None:
    route = m.json_format.ParseDict(case["input"], m.route_components_pb2.Route())
    assert is_catch_all(route) is case["expect"]


@cases_of("TestSortVHostRoutes")
def test_what_matches_everything_comes_last(case: dict[str, Any]) -> None:
    routes = [m.json_format.ParseDict(route, m.route_components_pb2.Route()) for route in case["input"]]
    expected = [m.json_format.ParseDict(route, m.route_components_pb2.Route()) for route in case["expect"]]
    assert sort_catch_all_last(routes) == expected


def test_every_kind_is_tested() -> None:
    tested = {
        "virtual_host_domains",
        "gateway_route_config",
        "sidecar_route_config",
        "retry_policy",
        "TestMirrorPercent",
        "TestTranslateFault",
        "TestSourceMatchHTTP",
        "TestMatchTCP",
        "TestMatchTLS",
        "TestTranslateMetadataMatch",
        "TestIsCatchAllRoute",
        "TestSortVHostRoutes",
    }
    assert {case["kind"] for case in CASES} == tested


def rule_with(written: Mapping[str, Any]) -> Any:
    """One decoded entry of `spec.http`."""
    http = {"route": [destination()], **written}
    [resource] = decode_documents([virtual_service({"http": [http]})])
    return resource.spec.http[0]


def virtual_service(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "v"},
        "spec": {"hosts": ["example.org"], **spec},
    }


def destination() -> dict[str, Any]:
    return {"destination": {"host": "example.org", "port": {"number": 80}}}
