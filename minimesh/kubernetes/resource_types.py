"""The table of resource types that the API serves: built in, Istio's own, and those that CRDs define."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from minimesh.config.kinds import DECODED, GATEWAY_API, KUBERNETES_GATEWAY
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot

CRD_KIND = "CustomResourceDefinition"
_LISTED_LAST = "gateway.networking.k8s.io"
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
READING_VERBS = ("get", "list", "watch")


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """A column that a CRD adds to its table; `json_path` as `.spec.host`, priority 1 for wide output."""

    name: str
    type: str
    json_path: str
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """One type of resource: names, versions (the preferred one first), scope, subresources.

    `custom` types come from a CRD: they know no strategic merge patch, and their columns are the CRD's.
    `store_kind` is the word under which the store keeps the objects. It is the kind, but for types from CRDs
    of strangers, which may bear the name of a kind that the mesh acts on.
    """

    group: str
    versions: tuple[str, ...]
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    custom: bool = False
    columns: tuple[PrinterColumn, ...] = ()
    selectable: tuple[str, ...] = ()
    """Fields that a CRD lets objects be selected by, as `spec.host`."""
    store_kind: str = ""
    verbs: tuple[str, ...] = ALL_VERBS

    @property
    def can_be_written(self) -> bool:
        """Whether there can be objects of it at all."""
        return self.verbs is ALL_VERBS

    @property
    def qualified_plural(self) -> str:
        """`pods`, `deployments.apps`: the name in messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        """`Pod`, `Deployment.apps`: the name in messages about a kind."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def is_decoded(self) -> bool:
        """Whether message classes read its objects, and not only a schema, or nothing at all."""
        known = DECODED.get((self.api_version(self.versions[0]), self.kind))
        return known is not None and known.stored_as == self.store_kind

    def api_version(self, version: str) -> str:
        """The `apiVersion` of an object in this version."""
        return f"{self.group}/{version}" if self.group else version


class ResourceTypes:
    """All types served at one moment."""

    def __init__(self, types: Iterable[ResourceType]) -> None:
        self.all = tuple(types)
        self._by_path = {
            (each.group, version, each.plural): each for each in self.all for version in each.versions
        }
        self._by_kind = {
            (each.group, version, each.kind): each for each in self.all for version in each.versions
        }

    @classmethod
    def of(cls, snapshot: Snapshot) -> ResourceTypes:
        """The built-in types, and those of the CRDs in the snapshot."""
        own = {each.qualified_plural for each in BUILT_IN}
        definitions = (each for each in snapshot.by_kind(CRD_KIND) if each.name not in own)
        added = (_defined_by(each) for each in definitions)
        return cls((*BUILT_IN, *(each for each in added if each is not None)))

    def at(self, group: str, version: str, plural: str) -> ResourceType | None:
        """The type that a path names."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> ResourceType | None:
        """The type that an object's `apiVersion` and `kind` name."""
        group, _, version = api_version.rpartition("/")
        return self._by_kind.get((group, version, kind))

    def group_versions(self) -> Iterator[tuple[str, str]]:
        """Each group with each of its versions, preferred first; the core group is empty and comes first.

        The Gateway API comes last: clusters do not bring it, and who types `kubectl get gateway` in a lab
        means Istio's, which is what the first group that has the word decides.
        """
        seen = {(each.group, version): None for each in self.all for version in each.versions}
        yield from sorted(seen, key=lambda pair: (pair[0] == _LISTED_LAST, pair[0], _version_rank(pair[1])))

    def in_version(self, group: str, version: str) -> tuple[ResourceType, ...]:
        """The types of one group that have this version."""
        return tuple(each for each in self.all if each.group == group and version in each.versions)


def _version_rank(version: str) -> tuple[int, str]:
    """Kubernetes' order of versions: general availability, beta, alpha; the newer first."""
    stability = 2 if "alpha" in version else 1 if "beta" in version else 0
    return stability, "".join(chr(0x10FFFF - ord(each)) for each in version)


def _defined_by(definition: Resource) -> ResourceType | None:
    spec: Mapping[str, Any] = definition.raw.get("spec") or {}
    names = spec.get("names") or {}
    versions = [each for each in spec.get("versions") or () if each.get("served")]
    if not versions or not names.get("kind") or not names.get("plural"):
        return None
    versions.sort(key=lambda each: _version_rank(str(each["name"])))
    return ResourceType(
        group=str(spec.get("group", "")),
        versions=tuple(str(each["name"]) for each in versions),
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec.get("scope") != "Cluster",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(versions[0].get("subresources") or ()),
        custom=True,
        columns=tuple(map(_printer_column, versions[0].get("additionalPrinterColumns") or ())),
        selectable=tuple(
            each["jsonPath"].removeprefix(".") for each in versions[0].get("selectableFields") or ()
        ),
        store_kind=f"{names['kind']}.{spec.get('group', '')}",
    )


def _printer_column(column: Mapping[str, Any]) -> PrinterColumn:
    return PrinterColumn(column["name"], column["type"], column["jsonPath"], int(column.get("priority", 0)))


def _built_in(
    group: str,
    kind: str,
    plural: str,
    short_names: str = "",
    *,
    namespaced: bool = True,
    everyday: bool = False,
    subresources: str = "status",
) -> ResourceType:
    return ResourceType(
        group=group,
        versions=("v1",),
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=namespaced,
        short_names=tuple(short_names.split()),
        categories=("all",) if everyday else (),
        subresources=tuple(subresources.split()),
        store_kind=kind,
    )


def _absent(
    group: str,
    kind: str,
    plural: str,
    short_names: str = "",
    *,
    namespaced: bool = True,
    versions: str = "v1",
) -> ResourceType:
    """A type that every cluster has and of which there is never an object here: lists of it are empty.

    kubectl looks for these unasked, when it prunes what is no longer applied for one.
    """
    type_ = _built_in(group, kind, plural, short_names, namespaced=namespaced, subresources="")
    return replace(type_, versions=tuple(versions.split()), verbs=READING_VERBS)


AGE = PrinterColumn("Age", "date", ".metadata.creationTimestamp")


def _istio(
    area: str,
    versions: str,
    kind: str,
    plural: str,
    short_names: str = "",
    columns: tuple[PrinterColumn, ...] = (AGE,),
) -> ResourceType:
    return ResourceType(
        group=f"{area}.istio.io",
        versions=tuple(versions.split()),
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        short_names=tuple(short_names.split()),
        categories=("istio-io", f"{area}-istio-io"),
        subresources=("status",),
        custom=True,
        columns=columns,
        store_kind=kind,
    )


def _column(name: str, json_path: str) -> PrinterColumn:
    return PrinterColumn(name, "string", json_path)


def _gateway_api(
    versions: str,
    kind: str,
    plural: str,
    short_names: str = "",
    columns: tuple[PrinterColumn, ...] = (AGE,),
    *,
    namespaced: bool = True,
) -> ResourceType:
    return ResourceType(
        group=GATEWAY_API,
        versions=tuple(versions.split()),
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=namespaced,
        short_names=tuple(short_names.split()),
        categories=("gateway-api",),
        subresources=() if kind == "ReferenceGrant" else ("status",),
        custom=True,
        columns=columns,
        store_kind=KUBERNETES_GATEWAY if kind == "Gateway" else kind,
    )


_ALL = "v1 v1beta1 v1alpha3"
_RBAC = "rbac.authorization.k8s.io"
_HOST, _HOSTS = _column("Host", ".spec.host"), _column("Hosts", ".spec.hosts")
_EXTERNAL = (_HOSTS, _column("Location", ".spec.location"), _column("Resolution", ".spec.resolution"), AGE)
_HOSTNAMES = _column("Hostnames", ".spec.hostnames")
_ACCEPTED = _column("Accepted", '.status.conditions[?(@.type=="Accepted")].status')
_CLASS_COLUMNS = (
    _column("Controller", ".spec.controllerName"),
    _ACCEPTED,
    AGE,
    PrinterColumn("Description", "string", ".spec.description", 1),
)
_GATEWAY_COLUMNS = (
    _column("Class", ".spec.gatewayClassName"),
    _column("Address", ".status.addresses[*].value"),
    _column("Programmed", '.status.conditions[?(@.type=="Programmed")].status'),
    AGE,
)

BUILT_IN: tuple[ResourceType, ...] = (
    _built_in("", "Namespace", "namespaces", "ns", namespaced=False, subresources="status finalize"),
    _built_in("", "Node", "nodes", "no", namespaced=False),
    _built_in(
        "", "Pod", "pods", "po", everyday=True, subresources="status log exec attach portforward eviction"
    ),
    _built_in("", "Service", "services", "svc", everyday=True),
    _built_in("", "Endpoints", "endpoints", "ep", subresources=""),
    _built_in("", "ServiceAccount", "serviceaccounts", "sa", subresources="token"),
    _built_in("", "Secret", "secrets", subresources=""),
    _built_in("", "ComponentStatus", "componentstatuses", "cs", namespaced=False, subresources=""),
    _built_in("", "ConfigMap", "configmaps", "cm", subresources=""),
    _built_in("", "Event", "events", "ev", subresources=""),
    _built_in("apps", "Deployment", "deployments", "deploy", everyday=True, subresources="status scale"),
    _built_in("apps", "ReplicaSet", "replicasets", "rs", everyday=True, subresources="status scale"),
    _built_in("coordination.k8s.io", "Lease", "leases", subresources=""),
    _built_in("discovery.k8s.io", "EndpointSlice", "endpointslices", subresources=""),
    _built_in("networking.k8s.io", "Ingress", "ingresses", "ing"),
    _built_in("networking.k8s.io", "IngressClass", "ingressclasses", namespaced=False, subresources=""),
    _built_in(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        namespaced=False,
        subresources="",
    ),
    _built_in(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        namespaced=False,
        subresources="",
    ),
    _built_in("apiextensions.k8s.io", CRD_KIND, "customresourcedefinitions", "crd crds", namespaced=False),
    _absent("", "LimitRange", "limitranges", "limits"),
    _absent("", "PersistentVolume", "persistentvolumes", "pv", namespaced=False),
    _absent("", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc"),
    _absent("", "ReplicationController", "replicationcontrollers", "rc"),
    _absent("", "ResourceQuota", "resourcequotas", "quota"),
    _absent("apps", "DaemonSet", "daemonsets", "ds"),
    _absent("apps", "StatefulSet", "statefulsets", "sts"),
    _absent("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", versions="v2 v1"),
    _absent("batch", "CronJob", "cronjobs", "cj"),
    _absent("batch", "Job", "jobs"),
    _absent("networking.k8s.io", "NetworkPolicy", "networkpolicies", "netpol"),
    _absent("policy", "PodDisruptionBudget", "poddisruptionbudgets", "pdb"),
    _absent(_RBAC, "ClusterRole", "clusterroles", namespaced=False),
    _absent(_RBAC, "ClusterRoleBinding", "clusterrolebindings", namespaced=False),
    _absent(_RBAC, "Role", "roles"),
    _absent(_RBAC, "RoleBinding", "rolebindings"),
    _absent("scheduling.k8s.io", "PriorityClass", "priorityclasses", "pc", namespaced=False),
    _absent("storage.k8s.io", "StorageClass", "storageclasses", "sc", namespaced=False),
    _istio("extensions", "v1alpha1", "TrafficExtension", "trafficextensions"),
    _istio("extensions", "v1alpha1", "WasmPlugin", "wasmplugins"),
    _istio("networking", _ALL, "DestinationRule", "destinationrules", "dr", (_HOST, AGE)),
    _istio("networking", "v1alpha3", "EnvoyFilter", "envoyfilters"),
    _istio("networking", _ALL, "Gateway", "gateways", "gw"),
    _istio("networking", "v1beta1", "ProxyConfig", "proxyconfigs"),
    _istio("networking", _ALL, "ServiceEntry", "serviceentries", "se", _EXTERNAL),
    _istio("networking", _ALL, "Sidecar", "sidecars"),
    _istio(
        "networking",
        _ALL,
        "VirtualService",
        "virtualservices",
        "vs",
        (_column("Gateways", ".spec.gateways"), _HOSTS, AGE),
    ),
    _istio(
        "networking",
        _ALL,
        "WorkloadEntry",
        "workloadentries",
        "we",
        (AGE, _column("Address", ".spec.address")),
    ),
    _istio("networking", _ALL, "WorkloadGroup", "workloadgroups", "wg"),
    _istio(
        "security",
        "v1 v1beta1",
        "AuthorizationPolicy",
        "authorizationpolicies",
        "ap",
        (_column("Action", ".spec.action"), AGE),
    ),
    _istio(
        "security",
        "v1 v1beta1",
        "PeerAuthentication",
        "peerauthentications",
        "pa",
        (_column("Mode", ".spec.mtls.mode"), AGE),
    ),
    _istio("security", "v1 v1beta1", "RequestAuthentication", "requestauthentications", "ra"),
    _istio("telemetry", "v1 v1alpha1", "Telemetry", "telemetries", "telemetry"),
    _gateway_api("v1 v1beta1", "GatewayClass", "gatewayclasses", "gc", _CLASS_COLUMNS, namespaced=False),
    _gateway_api("v1 v1beta1", "Gateway", "gateways", "gtw", _GATEWAY_COLUMNS),
    _gateway_api("v1", "GRPCRoute", "grpcroutes", "", (_HOSTNAMES, AGE)),
    _gateway_api("v1 v1beta1", "HTTPRoute", "httproutes", "", (_HOSTNAMES, AGE)),
    _gateway_api("v1 v1beta1", "ReferenceGrant", "referencegrants", "refgrant"),
    _gateway_api("v1 v1alpha2", "TCPRoute", "tcproutes"),
    _gateway_api("v1 v1alpha3 v1alpha2", "TLSRoute", "tlsroutes", "", (_HOSTNAMES, AGE)),
)
"""What is served without any CRD applied; the types of Istio and the Gateway API as their CRDs name them."""
