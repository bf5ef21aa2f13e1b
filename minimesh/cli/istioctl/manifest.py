"""What the profiles of `istioctl install` consist of: components, each with its objects as JSON has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from minimesh.config.mesh_config import CONFIG_MAP, CONFIG_MAP_KEY, CONFIG_MAP_NAMESPACE
from minimesh.config.resources import Resource
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.initial_objects import initial_objects
from minimesh.kubernetes.objects import to_object
from minimesh.kubernetes.resource_types import BUILT_IN
from minimesh.platform.defaults import default_resources, egress_gateway_resources

Json = dict[str, Any]
_NAMESPACE = "istio-system"
_INGRESS = "istio-ingressgateway"
_WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_NEEDED = frozenset({"ConfigMap", "Deployment", "Service", "ServiceAccount", *_WEBHOOKS})

#: Profile -> the components that Istio's has and minimesh too.
PROFILES: dict[str, tuple[str, ...]] = {
    "default": ("core", "istiod", "ingress"),
    "demo": ("core", "istiod", "egress", "ingress"),
    "minimal": ("core", "istiod"),
    "empty": (),
}
#: What the demo profile says beyond the default one: everybody writes the access log.
ACCESS_LOG_SETTINGS: Json = {"accessLogFile": "/dev/stdout"}


def mesh_settings(settings: Json) -> Json:
    """The ConfigMap of these settings of the mesh."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": CONFIG_MAP_NAMESPACE},
        "data": {CONFIG_MAP_KEY: yaml.safe_dump(settings, sort_keys=False) if settings else ""},
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


def components(names: Collection[str]) -> tuple[Component, ...]:
    """These components, in the order in which they are installed."""
    everything = _objects(_resources())
    ingress = tuple(each for each in everything if each["metadata"]["name"].startswith(_INGRESS))
    istiod = tuple(each for each in everything if each not in ingress)
    known = {
        "core": Component("Istio core", "⛵️"),
        "istiod": Component("Istiod", "🧠", istiod),
        "egress": Component("Egress gateways", "🛫", _objects(egress_gateway_resources())),
        "ingress": Component("Ingress gateways", "🛬", ingress),
    }
    return tuple(component for name, component in known.items() if name in names)


def _objects(resources: Iterable[Resource]) -> tuple[Json, ...]:
    types = {each.kind: each for each in BUILT_IN}
    return tuple(to_object(each, types[each.kind]) for each in resources)


def _resources() -> list[Resource]:
    """What a mesh begins with, as far as Istio brings it."""
    own = [each for each in default_resources(injects_by_default=False) if each.namespace == _NAMESPACE]
    own += initial_objects(timestamp(datetime.now(UTC)))
    return [each for each in own if each.kind in _NEEDED]
