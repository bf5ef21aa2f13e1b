"""The table of kinds: which are decoded into which class, and which are known by name only."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import import_module

from minimesh.config.schema import Message

NETWORKING = ("networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3")
SECURITY = ("security.istio.io/v1", "security.istio.io/v1beta1")
TELEMETRY = ("telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1")
GATEWAY_API = "gateway.networking.k8s.io"
KUBERNETES_GATEWAY = f"Gateway.{GATEWAY_API}"
"""Under this word the store keeps Gateways of the Gateway API: plain `Gateway` is Istio's own kind."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is decoded.

    `spec` and `status` name a module below `minimesh.config` and a class in it; they are imported when the
    first document of the kind is met.

    `has_spec` is false for kinds whose own top-level fields are the content (Secret, ConfigMap).
    `is_crd` is true for the kinds of Istio and of the Gateway API, for which the API server refuses `null`
    where a value is meant. `stored_as` is the word under which the store keeps the objects: the name, unless
    another kind bears it too.
    """

    name: str
    api_versions: tuple[str, ...]
    spec: str
    status: str = ""
    namespaced: bool = True
    has_spec: bool = True
    store_kind: str = ""

    @property
    def stored_as(self) -> str:
        return self.store_kind or self.name

    @property
    def is_crd(self) -> bool:
        return "istio.io/" in self.api_versions[0] or self.api_versions[0].startswith(GATEWAY_API)

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


def _gateway_api(*versions: str) -> tuple[str, ...]:
    return tuple(f"{GATEWAY_API}/{each}" for each in versions)


_ROUTE_STATUS = "gateway_api.status:RouteStatus"
_DECODED = (
    Kind("Service", ("v1",), "kubernetes.core:ServiceSpec", "kubernetes.core:ServiceStatus"),
    Kind("Pod", ("v1",), "kubernetes.pod:PodSpec", "kubernetes.pod_status:PodStatus"),
    Kind("Deployment", ("apps/v1",), "kubernetes.apps:DeploymentSpec", "kubernetes.apps:DeploymentStatus"),
    Kind("ReplicaSet", ("apps/v1",), "kubernetes.apps:ReplicaSetSpec", "kubernetes.apps:ReplicaSetStatus"),
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
    Kind(
        "Ingress",
        ("networking.k8s.io/v1",),
        "kubernetes.networking:IngressSpec",
        "kubernetes.networking:IngressStatus",
    ),
    Kind(
        "IngressClass", ("networking.k8s.io/v1",), "kubernetes.networking:IngressClassSpec", namespaced=False
    ),
    Kind("Gateway", NETWORKING, "istio.gateway:Gateway"),
    Kind("VirtualService", NETWORKING, "istio.virtual_service:VirtualService"),
    Kind("DestinationRule", NETWORKING, "istio.destination_rule:DestinationRule"),
    Kind("Sidecar", NETWORKING, "istio.sidecar:Sidecar"),
    Kind("ServiceEntry", NETWORKING, "istio.service_entry:ServiceEntry"),
    Kind("WorkloadEntry", NETWORKING, "istio.service_entry:WorkloadEntry"),
    Kind("WorkloadGroup", NETWORKING, "istio.workload_group:WorkloadGroup"),
    Kind("EnvoyFilter", ("networking.istio.io/v1alpha3",), "istio.envoy_filter:EnvoyFilter"),
    Kind("ProxyConfig", ("networking.istio.io/v1beta1",), "istio.proxy_config:ProxyConfig"),
    Kind("Telemetry", TELEMETRY, "istio.telemetry:Telemetry"),
    Kind("AuthorizationPolicy", SECURITY, "istio.security:AuthorizationPolicy"),
    Kind("PeerAuthentication", SECURITY, "istio.security:PeerAuthentication"),
    Kind("RequestAuthentication", SECURITY, "istio.security:RequestAuthentication"),
    Kind("WasmPlugin", ("extensions.istio.io/v1alpha1",), "istio.extensions:WasmPlugin"),
    Kind("TrafficExtension", ("extensions.istio.io/v1alpha1",), "istio.extensions:TrafficExtension"),
    Kind(
        "GatewayClass",
        _gateway_api("v1", "v1beta1"),
        "gateway_api.gateway:GatewayClass",
        "gateway_api.status:GatewayClassStatus",
        namespaced=False,
    ),
    Kind(
        "Gateway",
        _gateway_api("v1", "v1beta1"),
        "gateway_api.gateway:Gateway",
        "gateway_api.status:GatewayStatus",
        store_kind=KUBERNETES_GATEWAY,
    ),
    Kind("HTTPRoute", _gateway_api("v1", "v1beta1"), "gateway_api.routes:HTTPRoute", _ROUTE_STATUS),
    Kind("GRPCRoute", _gateway_api("v1", "v1alpha2"), "gateway_api.routes:GRPCRoute", _ROUTE_STATUS),
    Kind("TCPRoute", _gateway_api("v1", "v1alpha2"), "gateway_api.routes:TCPRoute", _ROUTE_STATUS),
    Kind(
        "TLSRoute", _gateway_api("v1", "v1alpha3", "v1alpha2"), "gateway_api.routes:TLSRoute", _ROUTE_STATUS
    ),
    Kind(
        "ReferenceGrant",
        _gateway_api("v1", "v1beta1", "v1alpha2"),
        "gateway_api.reference_grant:ReferenceGrant",
    ),
)

DECODED: dict[tuple[str, str], Kind] = {
    (version, kind.name): kind for kind in _DECODED for version in kind.api_versions
}
"""(apiVersion, kind) -> how to decode it."""

_NAMED_ONLY = {
    "v1": "Binding ComponentStatus Endpoints Event LimitRange Node PersistentVolume PersistentVolumeClaim "
    "PodTemplate ReplicationController ResourceQuota",
    "apps/": "ControllerRevision DaemonSet StatefulSet",
    "batch/": "CronJob Job",
    "autoscaling/": "HorizontalPodAutoscaler",
    "policy/": "PodDisruptionBudget PodSecurityPolicy",
    "networking.k8s.io/": "NetworkPolicy",
    "extensions/": "Ingress Deployment DaemonSet",
    "discovery.k8s.io/": "EndpointSlice",
    "rbac.authorization.k8s.io/": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "storage.k8s.io/": "StorageClass CSIDriver CSINode VolumeAttachment",
    "scheduling.k8s.io/": "PriorityClass",
    "coordination.k8s.io/": "Lease",
    "admissionregistration.k8s.io/": "MutatingWebhookConfiguration ValidatingWebhookConfiguration "
    "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
    "apiextensions.k8s.io/": "CustomResourceDefinition",
    "apiregistration.k8s.io/": "APIService",
    "certificates.k8s.io/": "CertificateSigningRequest",
    f"{GATEWAY_API}/": "UDPRoute BackendTLSPolicy ListenerSet",
    "gateway.networking.x-k8s.io/": "XListenerSet XBackendTrafficPolicy XMesh XBackend",
    "install.istio.io/": "IstioOperator",
    "cert-manager.io/": "Certificate Issuer ClusterIssuer",
    "certmanager.k8s.io/": "Certificate Issuer ClusterIssuer",
    "monitoring.coreos.com/": "ServiceMonitor PodMonitor PrometheusRule",
    "kustomize.config.k8s.io/": "Kustomization Component",
}
"""Kinds that published manifests hold beside the decoded ones; by group, or `v1` for the core group."""


def is_named_only(api_version: str, kind: str) -> bool:
    """Whether the kind is known, but nothing here acts on it."""
    group = api_version if "/" not in api_version else api_version.partition("/")[0] + "/"
    return kind in _NAMED_ONLY.get(group, "").split()


def written_kind(stored: str) -> str:
    """The kind as documents write it, of the word under which the store keeps it."""
    return stored.partition(".")[0]


def known_kinds() -> list[str]:
    """All kind names, the decoded ones first."""
    names = [name for _, name in DECODED]
    names += [name for line in _NAMED_ONLY.values() for name in line.split()]
    return list(dict.fromkeys(names))
