"""What the API server writes into an object that leaves it open. Pure: changes the object given."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from minimesh.kubernetes.definitions import definition_status
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.resource_types import ResourceType
from minimesh.kubernetes.schemas.structural import defaulted


def set_defaults(shown: Object, type_: ResourceType, now: str, schema: Mapping[str, Any]) -> None:
    """Fill in the defaults of the object's kind; `now` is a timestamp as objects carry it."""
    if type_.custom:
        shown.update(defaulted(shown, schema))
        return
    setter = _SETTERS.get(type_.kind)
    if setter is not None:
        setter(shown, now)


def set_pod_defaults(spec: dict[str, Any]) -> None:
    """Fill in the defaults of a pod's spec, wherever it stands."""
    _pod_spec(spec)


def _namespace(shown: Object, _: str) -> None:
    name = shown["metadata"].get("name", "")
    shown["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    shown.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    shown.setdefault("status", {}).setdefault("phase", "Active")


def _secret(shown: Object, _: str) -> None:
    shown.setdefault("type", "Opaque")
    for key, text in (shown.pop("stringData", None) or {}).items():
        shown.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _service(shown: Object, _: str) -> None:
    set_service_defaults(shown.setdefault("spec", {}))


def set_service_defaults(spec: dict[str, Any]) -> None:
    """Fill in the defaults of a Service's spec."""
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    for port in _maps(spec.get("ports")):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))


def _deployment(shown: Object, _: str) -> None:
    spec = shown.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if isinstance(strategy, dict) and strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(spec)


def _replica_set(shown: Object, _: str) -> None:
    spec = shown.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _template(spec: dict[str, Any]) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        _pod_spec(template["spec"])


def _pod(shown: Object, _: str) -> None:
    spec = shown.get("spec")
    if isinstance(spec, dict):
        _pod_spec(spec)
        spec.setdefault("serviceAccountName", "default")


def _pod_spec(spec: dict[str, Any]) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    for container in (*_maps(spec.get("containers")), *_maps(spec.get("initContainers"))):
        image = str(container.get("image") or "")
        tag = image.rpartition("/")[2].partition(":")[2]
        latest = "@" not in image and tag in ("", "latest")
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        for port in _maps(container.get("ports")):
            port.setdefault("protocol", "TCP")
    for volume in _maps(spec.get("volumes")):
        for source in ("secret", "configMap", "downwardAPI", "projected"):
            if isinstance(volume.get(source), dict):
                volume[source].setdefault("defaultMode", 420)


def _definition(shown: Object, now: str) -> None:
    spec = shown.setdefault("spec", {})
    names = spec.get("names") or {}
    if names.get("kind"):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})
    versions = tuple(each["name"] for each in _maps(spec.get("versions")) if each.get("storage"))
    shown["status"] = definition_status(names, versions, now)


def _maps(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


_SETTERS = {
    "Namespace": _namespace,
    "Secret": _secret,
    "Service": _service,
    "Deployment": _deployment,
    "ReplicaSet": _replica_set,
    "Pod": _pod,
    "CustomResourceDefinition": _definition,
}
