"""What an API server has before anybody asks it for something: namespaces, ingress classes, Istio's parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from minimesh.config.kubernetes.core import NamespaceSpec, NamespaceStatus
from minimesh.config.kubernetes.networking import IngressClassSpec
from minimesh.config.resources import ObjectMeta, Resource
from minimesh.kubernetes.definitions import istio_definitions

_NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_INGRESS_CLASSES = {"istio": "istio.io/ingress-controller", "nginx": "k8s.io/ingress-nginx"}
_COMPONENTS = ("controller-manager", "etcd-0", "scheduler")
"""The parts of a control plane: here one process, which answers, so that all of them are healthy."""
_ISTIOD = {"name": "istiod", "namespace": "istio-system", "port": 443}
_INJECTOR = "istio-sidecar-injector"
_LABELS = {"app": "sidecar-injector", "istio.io/rev": "default", "operator.istio.io/component": "Pilot"}
_VALIDATORS = {
    "istio-validator-istio-system": "rev.validation.istio.io",
    "istiod-default-validator": "validation.istio.io",
}
"""Configuration -> webhook: the checks of Istio's objects, which the API does itself (`admission`)."""
_CREATED_PODS = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE"],
    "resources": ["pods"],
    "scope": "*",
}


def initial_objects(now: str) -> Iterator[Resource]:
    """The objects, for a store that may have some already; `now` is a timestamp as objects carry it."""
    for name in _NAMESPACES:
        yield Resource(
            api_version="v1",
            kind="Namespace",
            metadata=ObjectMeta(name=name, labels={"kubernetes.io/metadata.name": name}),
            spec=NamespaceSpec(finalizers=("kubernetes",)),
            status=NamespaceStatus(phase="Active"),
        )
    for name, controller in _INGRESS_CLASSES.items():
        yield Resource(
            api_version="networking.k8s.io/v1",
            kind="IngressClass",
            metadata=ObjectMeta(name=name),
            spec=IngressClassSpec(controller=controller),
        )
    for name in _COMPONENTS:
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
        yield _plain("v1", "ComponentStatus", ObjectMeta(name=name), {"conditions": [condition]})
    injector = {"webhooks": [_injection(name, *selectors) for name, selectors in _SELECTORS.items()]}
    metadata = ObjectMeta(name=_INJECTOR, labels=_LABELS)
    yield _plain("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", metadata, injector)
    for name, webhook in _VALIDATORS.items():
        metadata = ObjectMeta(
            name=name, labels={"app": "istiod", "istio": "istiod", "istio.io/rev": "default"}
        )
        content = {"webhooks": [_validation(webhook)]}
        yield _plain("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", metadata, content)
    yield from istio_definitions(now)


def _plain(api_version: str, kind: str, metadata: ObjectMeta, content: Mapping[str, Any]) -> Resource:
    """An object of a kind that is not typed."""
    return Resource(api_version=api_version, kind=kind, metadata=metadata, spec=content, raw=content)


def _asks(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


_INJECTION, _REVISION, _INJECT = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"
_NOT_REFUSED = _asks(_INJECT, "NotIn", "false")
_NOTHING_SAID = (_asks(_INJECTION, "DoesNotExist"), _asks(_REVISION, "DoesNotExist"))
_SELECTORS: Mapping[str, tuple[tuple[dict[str, Any], ...], tuple[dict[str, Any], ...]]] = {
    "rev.namespace.sidecar-injector.istio.io": (
        (_asks(_REVISION, "In", "default"), _asks(_INJECTION, "DoesNotExist")),
        (_NOT_REFUSED,),
    ),
    "rev.object.sidecar-injector.istio.io": (
        (_asks(_REVISION, "DoesNotExist"), _asks(_INJECTION, "DoesNotExist")),
        (_NOT_REFUSED, _asks(_REVISION, "In", "default")),
    ),
    "namespace.sidecar-injector.istio.io": ((_asks(_INJECTION, "In", "enabled"),), (_NOT_REFUSED,)),
    "object.sidecar-injector.istio.io": (
        _NOTHING_SAID,
        (_asks(_INJECT, "In", "true"), _asks(_REVISION, "DoesNotExist")),
    ),
}
"""Webhook -> what it asks of a pod's namespace, and of the pod; the injector itself is `config.injection`."""


def _validation(name: str) -> dict[str, Any]:
    areas = ("security", "networking", "telemetry", "extensions")
    rule = {
        "apiGroups": [f"{area}.istio.io" for area in areas],
        "apiVersions": ["*"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["*"],
        "scope": "*",
    }
    return _webhook(name, "/validate", rule)


def _injection(
    name: str, of_namespace: tuple[dict[str, Any], ...], of_pod: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    return {
        **_webhook(name, "/inject", _CREATED_PODS),
        "namespaceSelector": {"matchExpressions": list(of_namespace)},
        "objectSelector": {"matchExpressions": list(of_pod)},
        "reinvocationPolicy": "Never",
    }


def _webhook(name: str, path: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "admissionReviewVersions": ["v1"],
        "clientConfig": {"service": {**_ISTIOD, "path": path}},
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "name": name,
        "rules": [rule],
        "sideEffects": "None",
        "timeoutSeconds": 10,
    }
