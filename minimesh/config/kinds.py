"""The table of kinds: which are decoded into which class, and which are known by name only."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import import_module

from minimesh.config.schema import Message

NETWORKING = ("networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3")
TELEMETRY = ("telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is decoded. `spec` and `status` name a module below `minimesh.config` and a class in it;
    they are imported when the first document of the kind is met.

    `has_spec` is false for kinds whose own top-level fields are the content (Secret, ConfigMap).
    `is_crd` is true for Istio's kinds, for which the API server refuses `null` where a value is meant.
    """

    name: str
    api_versions: tuple[str, ...]
    spec: str
    status: str = ""
    namespaced: bool = True
    has_spec: bool = True

    @property
    def is_crd(self) -> bool:
        return "istio.io" in self.api_versions[0]

    @property
    def spec_class(self) -> type[Message]:
        return _load(self.spec)

    @property
    def status_class(self) -> type[Message] | None:
        return _load(self.status) if self.status else None


@functools.cache
def _load(path: str) -> type[Message]:
    module, _, name = path.partition(":")
    found: type[Message] = getattr(import_module(f"minimesh.config.{module}"), name)
    return found


_DECODED = (
    Kind("Service", ("v1",), "kubernetes.core:ServiceSpec", "kubernetes.core:ServiceStatus"),
    Kind("Pod", ("v1",), "kubernetes.pod:PodSpec", "kubernetes.pod_status:PodStatus"),
    Kind("Deployment", ("apps/v1",), "kubernetes.apps:DeploymentSpec", "kubernetes.apps:DeploymentStatus"),
    Kind(
        "Namespace",
        ("v1",),
        "kubernetes.core:NamespaceSpec",
        "kubernetes.core:NamespaceStatus",
        namespaced=False,
    ),
    Kind("ServiceAccount", ("v1",), "kubernetes.core:ServiceAccount", has_spec=False),
    Kind("Secret", ("v1",), "kubernetes.core:Secret", has_spec=False),
    Kind("ConfigMap", ("v1",), "kubernetes.core:ConfigMap", has_spec=False),
    Kind("Gateway", NETWORKING, "istio.gateway:Gateway"),
    Kind("VirtualService", NETWORKING, "istio.virtual_service:VirtualService"),
    Kind("DestinationRule", NETWORKING, "istio.destination_rule:DestinationRule"),
    Kind("Sidecar", NETWORKING, "istio.sidecar:Sidecar"),
    Kind("ServiceEntry", NETWORKING, "istio.service_entry:ServiceEntry"),
    Kind("WorkloadEntry", NETWORKING, "istio.service_entry:WorkloadEntry"),
    Kind("Telemetry", TELEMETRY, "istio.telemetry:Telemetry"),
)

DECODED: dict[tuple[str, str], Kind] = {
    (version, kind.name): kind for kind in _DECODED for version in kind.api_versions
}
"""(apiVersion, kind) -> how to decode it."""
