"""Every field that is said to act makes a difference to what the proxies are sent."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from minimesh.config.kinds import GATEWAY_API, KUBERNETES_GATEWAY
from minimesh.control_plane.locality import Locality
from minimesh.control_plane.push_context import PushContext
from minimesh.control_plane.translation import build_resources
from minimesh.control_plane.translation.proxy import Proxy
from tests.control_plane.effects import effects
from tests.control_plane.effects.effect import Effect
from tests.control_plane.effects.istio import MESH, PODS
from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy, push, sidecar_proxy

pytestmark = pytest.mark.slow

EFFECTS = list(effects())
OWN_KEY = "minimesh"
"""Below it routes say which line they come from: no effect on any request."""
API_VERSIONS = {
    "Ingress": "networking.k8s.io/v1",
    "IngressClass": "networking.k8s.io/v1",
    "GatewayClass": f"{GATEWAY_API}/v1",
    KUBERNETES_GATEWAY: f"{GATEWAY_API}/v1",
    "HTTPRoute": f"{GATEWAY_API}/v1",
    "GRPCRoute": f"{GATEWAY_API}/v1",
    "TCPRoute": f"{GATEWAY_API}/v1alpha2",
    "TLSRoute": f"{GATEWAY_API}/v1alpha2",
    "ReferenceGrant": f"{GATEWAY_API}/v1beta1",
}
CLUSTER_WIDE = ("GatewayClass", "IngressClass")


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
    metadata = {"name": "subject"}
    if effect.kind not in CLUSTER_WIDE:
        metadata["namespace"] = "far" if effect.kind == "ReferenceGrant" else "default"
    return json.dumps(
        {
            "apiVersion": API_VERSIONS.get(effect.kind, "networking.istio.io/v1"),
            "kind": effect.kind.partition(".")[0],
            "metadata": metadata,
            "spec": effect.spec(with_field=with_field),
        }
    )


@pytest.mark.parametrize("effect", EFFECTS, ids=[effect.id for effect in EFFECTS])
def test_this_field_makes_a_difference(effect: Effect) -> None:
    without = sent((*effect.documents, document(effect, with_field=False)))
    assert sent((*effect.documents, document(effect, with_field=True))) != without
