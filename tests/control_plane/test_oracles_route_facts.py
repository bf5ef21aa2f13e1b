"""VirtualServices and what istiod's own tests say about the routes made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from minimesh.config.resources import Resource
from minimesh.control_plane.mesh_config import MeshConfig
from minimesh.control_plane.push_context.destination_rules import DestinationRules
from minimesh.control_plane.push_context.virtual_services import resolve_virtual_service
from minimesh.control_plane.translation.http_routes import RouteContext, build_http_routes
from tests.control_plane import facts
from tests.control_plane.meshes import decode_documents
from tests.control_plane.oracles import load, needs_oracles

CASES = load("route_facts.json")


def cookie_on_port(port: int, cookie: str) -> dict[str, Any]:
    """A DestinationRule that hashes one port of *.example.org by a cookie."""
    setting = {
        "port": {"number": port},
        "loadBalancer": {"consistentHash": {"httpCookie": {"name": cookie}}},
    }
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": {"name": "reconstructed"},
        "spec": {"host": "*.example.org", "trafficPolicy": {"portLevelSettings": [setting]}},
    }


MISSING_CONTEXT: Mapping[str, Sequence[dict[str, Any]]] = {
    "for virtual service with port level settings matching service port": (
        cookie_on_port(8484, "matching-port-cookie"),
    ),
    "for virtual service with port level settings mismatched port": (
        cookie_on_port(9999, "mismatched-port-cookie"),
    ),
}
"""DestinationRules that the original tests pass beside the input, told by the case's name and expectation."""

MESHES: Mapping[str, MeshConfig] = {
    "for host rewrite with XForwardedHost enabled": MeshConfig(append_x_forwarded_host=True),
}

CALLERS: Mapping[str, Sequence[str]] = {
    "for virtual service with source namespace matching": ("foo", "bar"),
}
"""Cases that ask the same rule once for each caller: the callers' namespaces."""


def routes_of(
    resource: Resource, case: Mapping[str, Any], rules: Sequence[Resource], namespace: str
) -> list[Any]:
    name = case["id"].partition("/")[2]
    mesh = MESHES.get(name, MeshConfig())
    destination_rules = DestinationRules(rules, mesh)
    context = RouteContext(
        listen_port=case["context"]["listen_port"],
        gateway_names=frozenset({case["context"]["gateway"]}),
        find_destination_rule=lambda host: destination_rules.find(host, "default", "default", {}),
        proxy_namespace=namespace,
        mesh=mesh,
    )
    return build_http_routes(resolve_virtual_service(resource, {}, mesh), context)


def documents(case: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The input of one kind. A nil matcher of the original, which YAML cannot say, is an empty one here."""
    found = json.loads(json.dumps(case["input"]).replace(": null", ": {}"))
    return [document for document in found if document["kind"] == kind]


@needs_oracles
@pytest.mark.parametrize("case", CASES, ids=[case["id"].partition("/")[2] for case in CASES])
def test_routes_are_as_istiod_makes_them(case: dict[str, Any]) -> None:
    name = case["id"].partition("/")[2]
    rules = decode_documents([*documents(case, "DestinationRule"), *MISSING_CONTEXT.get(name, ())])
    resources = decode_documents(documents(case, "VirtualService"))
    groups = grouped(case["expect"])
    namespaces = CALLERS.get(name, [""] * len(groups))
    assert len(groups) == len(resources)
    for resource, expected, namespace in zip(resources, groups, namespaces, strict=True):
        routes = routes_of(resource, case, rules, namespace)
        for fact in expected:
            facts.check(routes, fact)


def grouped(expected: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """One group of facts for each VirtualService of the input; each starts with the number of routes."""
    groups: list[list[dict[str, Any]]] = []
    for fact in expected:
        if not groups or fact["path"] == "":
            groups.append([])
        groups[-1].append(fact)
    return groups
