"""What analyzers look at: all documents by kind, and the few questions that many of them ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minimesh.config.analysis.document import Document

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
PROXY = "istio-proxy"
AMBIENT_REDIRECTION = "ambient.istio.io/redirection"
_DATAPLANE_MODE = "istio.io/dataplane-mode"
_SYSTEM_NAMESPACES = frozenset(
    {"kube-system", "kube-public", "kube-node-lease", "local-path-storage", "istio-system"}
)

#: Says whether a Secret's data (name -> base64 text) is a certificate with its key, and in force.
CredentialCheck = Callable[[Mapping[str, str]], bool]


class View:
    """The documents and the mesh configuration under analysis."""

    def __init__(
        self, documents: Sequence[Document], mesh_config: Mapping[str, Any], is_credential: CredentialCheck
    ) -> None:
        self.mesh_config = mesh_config
        self.is_credential = is_credential
        self._by_kind: dict[tuple[str, str], list[Document]] = {}
        for document in documents:
            self._by_kind.setdefault((document.group, document.kind), []).append(document)

    @property
    def root_namespace(self) -> str:
        return str(self.mesh_config.get("rootNamespace") or "istio-system")

    def of_kind(self, kind: str, group: str = NETWORKING) -> list[Document]:
        return self._by_kind.get((group, kind), [])

    def core(self, kind: str) -> list[Document]:
        return self.of_kind(kind, "")

    def deployments(self) -> list[Document]:
        return self.of_kind("Deployment", "apps")

    def find(self, kind: str, full_name: str, group: str = NETWORKING) -> Document | None:
        return next((each for each in self.of_kind(kind, group) if each.full_name == full_name), None)

    def selected_pods(self, selector: Mapping[str, str]) -> list[Document]:
        """Pods of any namespace; an empty selector takes all."""
        return [pod for pod in self.core("Pod") if selects(selector, pod.labels)]

    def is_ambient(self, namespace: str) -> bool:
        """Whether the namespace's pods are captured without sidecars."""
        labels = self._namespace_labels(namespace)
        sidecars = labels.get("istio-injection") == "enabled" or "istio.io/rev" in labels
        return labels.get(_DATAPLANE_MODE) == "ambient" and not sidecars

    def is_in_mesh(self, namespace: str, metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
        """Whether a pod, or a template of pods, has or would get a proxy."""
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        if annotations.get(AMBIENT_REDIRECTION) == "enabled":
            return True
        if any(container.get("name") == PROXY for container in spec.get("containers") or ()):
            return True
        inject = labels.get("sidecar.istio.io/inject", annotations.get("sidecar.istio.io/inject", ""))
        if inject:
            return str(inject).lower() == "true"
        of_namespace = self._namespace_labels(namespace)
        injects = of_namespace.get("istio-injection") == "enabled"
        return injects or ("istio.io/rev" in of_namespace and "istio-injection" not in of_namespace)

    def _namespace_labels(self, name: str) -> Mapping[str, str]:
        return next((each.labels for each in self.core("Namespace") if each.name == name), {})


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def selector_text(selector: Mapping[str, str]) -> str:
    """As Kubernetes writes a selector: `a=b,c=d`."""
    return ",".join(f"{key}={selector[key]}" for key in sorted(selector))


def is_system_namespace(name: str) -> bool:
    return name in _SYSTEM_NAMESPACES


def name_in(namespace: str, reference: str) -> str:
    """The full name of `NAME` or `NAMESPACE/NAME` referred to from a namespace."""
    if "/" in reference or not namespace:
        return reference
    return f"{namespace}/{reference}"


def fqdn(host: str, namespace: str) -> str:
    """A short name completed with its namespace; others as they are."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.cluster.local"


def hosts_overlap(one: str, other: str) -> bool:
    """Whether a name can match both; either may begin with `*`."""
    if one.startswith("*") and other.startswith("*"):
        short, long = sorted((one[1:], other[1:]), key=len)
        return long.endswith(short)
    if one.startswith("*"):
        return other.endswith(one[1:])
    return one.endswith(other[1:]) if other.startswith("*") else one == other


def items(value: Any, name: str) -> list[Mapping[str, Any]]:
    """A list field's maps; empty where it is not written or no list."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return [each if isinstance(each, Mapping) else {} for each in found] if isinstance(found, list) else []


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """A map field; empty where it is not written or no map."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def texts(value: Any, name: str) -> list[str]:
    """A list field's texts."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return [str(each) for each in found] if isinstance(found, list) else []


def number_of(value: Any, name: str) -> int:
    """A number field; 0 where it is not written or no number, which the schema's check tells."""
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, int) else 0
