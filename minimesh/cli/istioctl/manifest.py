"""What the profiles of `istioctl install` consist of: components, each with its objects as JSON has them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from minimesh.config.resources import Resource
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.initial_objects import initial_objects
from minimesh.kubernetes.objects import to_object
from minimesh.kubernetes.resource_types import BUILT_IN
from minimesh.platform.defaults import default_resources

Json = dict[str, Any]
_NAMESPACE = "istio-system"
_INGRESS = "istio-ingressgateway"
_NEEDED = frozenset({"ConfigMap", "Deployment", "MutatingWebhookConfiguration", "Service", "ServiceAccount"})

#: Profile -> the components that Istio's has and minimesh too. The egress gateway, which only the demo
#: profile brings, is not part of minimesh.
PROFILES: dict[str, tuple[str, ...]] = {
    "default": ("core", "istiod", "ingress"),
    "demo": ("core", "istiod", "ingress"),
    "minimal": ("core", "istiod"),
    "empty": (),
}
#: What the demo profile says beyond the default one: everybody writes the access log.
ACCESS_LOG: Json = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio", "namespace": _NAMESPACE},
    "data": {"mesh": "accessLogFile: /dev/stdout\n"},
}


@dataclass(frozen=True, slots=True)
class Component:
    """One line of what `install` prints."""

    title: str
    sign: str
    objects: tuple[Json, ...] = ()

    @property
    def deployments(self) -> tuple[Json, ...]:
        return tuple(each for each in self.objects if each["kind"] == "Deployment")


def components(profile: str) -> tuple[Component, ...]:
    """The components of a profile, in the order in which they are installed."""
    types = {each.kind: each for each in BUILT_IN}
    everything: list[Json] = [to_object(each, types[each.kind]) for each in _resources()]
    ingress = tuple(each for each in everything if each["metadata"]["name"].startswith(_INGRESS))
    istiod = tuple(each for each in everything if each not in ingress)
    known = {
        "core": Component("Istio core", "⛵️"),
        "istiod": Component("Istiod", "🧠", istiod),
        "ingress": Component("Ingress gateways", "🛬", ingress),
    }
    return tuple(known[name] for name in PROFILES[profile])


def _resources() -> list[Resource]:
    """What a mesh begins with, as far as Istio brings it."""
    own = [each for each in default_resources(injects_by_default=False) if each.namespace == _NAMESPACE]
    own += initial_objects(timestamp(datetime.now(UTC)))
    return [each for each in own if each.kind in _NEEDED]
