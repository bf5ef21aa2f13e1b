"""Every field that is said to act makes a difference to what the proxies are sent."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from minimesh.control_plane.locality import Locality
from minimesh.control_plane.push_context import PushContext
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.proxy import Proxy
from tests.control_plane.field_effects import MESH, PODS, Effect, effects
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push, sidecar_proxy

pytestmark = pytest.mark.slow

EFFECTS = list(effects())
OWN_KEY = "minimesh"
"""Below it routes say which line they come from: no effect on any request."""
API_VERSION = "networking.istio.io/v1"


def proxies() -> tuple[Proxy, ...]:
    labels = {"app": "web", "version": "v1", "topology.istio.io/network": "near"}
    sidecar = sidecar_proxy(labels, node_locality=Locality("here", "z"))
    return gateway_proxy(), sidecar


@functools.cache
def sent(documents: tuple[str, ...]) -> tuple[bytes, ...]:
    """Everything that the proxies are sent, as bytes."""
    context: PushContext = push(INGRESS_GATEWAY, MESH, *PODS, *documents)
    return tuple(
        message.SerializeToString(deterministic=True)
        for proxy in proxies()
        for message in messages(proxy, context)
    )


def messages(proxy: Proxy, context: PushContext) -> list[Any]:
    resources = build_resources(proxy, context)
    for config in resources.routes.values():
        for host in config.virtual_hosts:
            for route in host.routes:
                route.metadata.filter_metadata.pop(OWN_KEY, None)
    found = []
    for by_name in (
        resources.clusters,
        resources.endpoints,
        resources.listeners,
        resources.routes,
        resources.secrets,
    ):
        found += [by_name[name] for name in sorted(by_name)]
    return found


def document(effect: Effect, *, with_field: bool) -> str:
    metadata = {"name": "subject", "namespace": "default"}
    spec = effect.spec(with_field=with_field)
    return json.dumps({"apiVersion": API_VERSION, "kind": effect.kind, "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("effect", EFFECTS, ids=[effect.id for effect in EFFECTS])
def test_this_field_makes_a_difference(effect: Effect) -> None:
    without = sent((*effect.documents, document(effect, with_field=False)))
    assert sent((*effect.documents, document(effect, with_field=True))) != without
