"""The Gateway API, and what istiod's own tests say that it means and what becomes of each object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from minimesh.config.encoding import encoded
from minimesh.config.istio.traffic import ServerTLSMode
from minimesh.config.json_nodes import read_json
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot
from minimesh.control_plane.gateway_api.conversion import convert
from minimesh.control_plane.gateway_api.status import with_class_statuses, with_statuses
from minimesh.control_plane.gateway_api.world import World
from minimesh.control_plane.service_registry import ServiceRegistry
from tests.control_plane.gateway_api_services import DOMAIN, surroundings
from tests.control_plane.oracles import load, needs_oracles

CASES = load("gatewayapi_goldens.json")
_LISTENER_SETS = "ListenerSet is accepted, not simulated"
_AMBIENT = "waypoints and HBONE belong to ambient mode, which is not simulated"
_BACKEND_POLICIES = "policies attached to backends are accepted, not simulated"
EXCEPTIONS = {
    "backend-lb-policy.yaml": _BACKEND_POLICIES,
    "backend-tls-client-cert.yaml": "the certificate shown to backends is accepted, not simulated",
    "backend-tls-policy.yaml": _BACKEND_POLICIES,
    "backend-tls-policy-ignored.yaml": _BACKEND_POLICIES,
    "backend-traffic-policy-ignored.yaml": _BACKEND_POLICIES,
    "east-west-ambient.yaml": _AMBIENT,
    "eastwest-remote.yaml": "the class istio-remote: there are no other clusters",
    "foreign-waypoint.yaml": _AMBIENT,
    "listenerset-cross-namespace.yaml": _LISTENER_SETS,
    "listenerset-empty-listeners.yaml": _LISTENER_SETS,
    "listenerset-hostname-conflict.yaml": _LISTENER_SETS,
    "listenerset-https-missing-tls.yaml": _LISTENER_SETS,
    "listenerset-invalid.yaml": _LISTENER_SETS,
    "listenerset-overlapping-port.yaml": _LISTENER_SETS,
    "listenerset-protocol-conflict.yaml": _LISTENER_SETS,
    "listenerset-same-name-different-ns.yaml": _LISTENER_SETS,
    "listenerset.yaml": _LISTENER_SETS,
    "mix-backend-policy.yaml": _BACKEND_POLICIES,
    "waypoint.yaml": _AMBIENT,
    "xbackend.yaml": "the experimental XBackend is accepted, not simulated",
}
NOW = "2026-01-01T00:00:00Z"
INFERENCE = ("infpool", "inferencepool", "InferencePool")
"""Objects that speak of InferencePools, which are not known here, are not compared."""


def _cases() -> list[Any]:
    reasons = ((case, EXCEPTIONS.get(case["id"])) for case in CASES)
    return [
        pytest.param(case, id=case["id"], marks=[pytest.mark.skip(reason=why)] if why else [])
        for case, why in reasons
    ]


def _resources(documents: Iterable[dict[str, Any]]) -> list[Resource]:
    return [resource for each in documents for resource in read_json(each, "")[0]]


def _world(case: dict[str, Any]) -> World:
    few = case["id"] == "route-binding.yaml"
    snapshot = Snapshot.of(_resources([*surroundings(few_namespaces=few), *case["input"]]))
    return World(snapshot, ServiceRegistry.from_snapshot(snapshot, (), DOMAIN), DOMAIN)


def _compared(resource: Resource) -> tuple[Any, dict[str, str]]:
    spec = resource.spec
    if resource.kind == "Gateway":
        spec = replace(spec, servers=tuple(map(_with_mode, spec.servers)))
    return spec, dict(resource.metadata.annotations)


def _with_mode(server: Any) -> Any:
    """In istiod's output a mode that is not written is the first of all."""
    if server.tls is None or server.tls.mode is not None:
        return server
    return replace(server, tls=replace(server.tls, mode=ServerTLSMode.PASSTHROUGH))


def _is_compared(text: object) -> bool:
    return not any(word in str(text) for word in INFERENCE)


def _status(status: Any) -> Any:
    """A status without times and generations, its conditions and parents in any order."""
    if isinstance(status, dict):
        kept = {key: _status(value) for key, value in status.items()}
        ignored = ("lastTransitionTime", "observedGeneration")
        return {key: value for key, value in kept.items() if key not in ignored and value != []}
    if isinstance(status, list):
        found = [_status(each) for each in status]
        if any(("conditions" in each and "parentRef" in each) or "reason" in each for each in found):
            found.sort(key=lambda each: json.dumps(each, sort_keys=True))
        return found
    return status


@needs_oracles
@pytest.mark.parametrize("case", _cases())
def test_the_gateway_api_means_what_istiod_makes_of_it(case: dict[str, Any]) -> None:
    made = {each.key: _compared(each) for each in convert(_world(case)).resources}
    expected = {each.key: _compared(each) for each in _resources(case["expect"])}
    named = [key for key in {*made, *expected} if _is_compared(expected.get(key, made.get(key)))]
    assert {key: made.get(key) for key in named} == {key: expected.get(key) for key in named}
    assert made or not expected


@needs_oracles
@pytest.mark.parametrize("case", _cases())
def test_the_status_tells_what_istiod_tells(case: dict[str, Any]) -> None:
    world = _world(case)
    classes = world.snapshot.by_kind("GatewayClass")
    made = {
        (each.kind.partition(".")[0], each.namespace, each.name): _status(encoded(each.status))
        for each in [*with_class_statuses(classes, NOW), *with_statuses(convert(world), NOW)]
    }
    expected = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): _status(
            each["status"]
        )
        for each in case["expect_status"]
    }
    left_out = {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"])
        for each in case["input"]
        if not _is_compared(each)
    }
    named = {*made, *expected} - left_out
    assert {key: made.get(key) for key in named} == {key: expected.get(key) for key in named}
