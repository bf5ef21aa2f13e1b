"""Fields and definitions that Istio has left behind, or that are too old for it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.message import Message, quoted
from minimesh.config.analysis.view import View, items, mapping

_REMOVED_GROUP = "rbac.istio.io"
_REMOVED_KINDS = ("ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding")
_BUNDLE_VERSION = "gateway.networking.k8s.io/bundle-version"
_MINIMUM_VERSIONS = {
    "grpcroutes.gateway.networking.k8s.io": (1, 1, 0),
    "backendtlspolicies.gateway.networking.k8s.io": (1, 4, 0),
    "tlsroutes.gateway.networking.k8s.io": (1, 5, 0),
}


def check_fields(view: View) -> Iterator[Message]:
    """Deprecated fields and kinds (deprecation.FieldAnalyzer)."""
    for document in view.of_kind("VirtualService"):
        for number, rule in enumerate(items(document.spec, "http")):
            if mapping(mapping(rule, "fault"), "delay").get("percent"):
                text = "HTTPRoute.fault.delay.percent is deprecated; use HTTPRoute.fault.delay.percentage"
                yield Message(m.DEPRECATED, document, (text,), ("spec", "http", number, "fault", "delay"))
    for document in view.of_kind("Sidecar"):
        if mapping(mapping(document.spec, "outboundTrafficPolicy"), "egressProxy"):
            path = ("spec", "outboundTrafficPolicy", "egressProxy")
            yield Message(m.DEPRECATED, document, ("OutboundTrafficPolicy.EgressProxy ignored",), path)
    for document in view.of_kind("CustomResourceDefinition", "apiextensions.k8s.io"):
        kind = mapping(document.spec, "names").get("kind")
        if document.spec.get("group") == _REMOVED_GROUP and kind in _REMOVED_KINDS:
            text = f"Custom resource type {_REMOVED_GROUP} {kind} is removed"
            yield Message(m.DEPRECATED, document, (text,))


def check_gateway_api_versions(view: View) -> Iterator[Message]:
    """Gateway API definitions that are too old (k8sgateway.CRDVersionAnalyzer)."""
    for document in view.of_kind("CustomResourceDefinition", "apiextensions.k8s.io"):
        minimum = _MINIMUM_VERSIONS.get(document.name)
        installed = re.match(r"v?(\d+)\.(\d+)\.(\d+)", document.annotations.get(_BUNDLE_VERSION, ""))
        if minimum is None or installed is None:
            continue
        version = tuple(int(part) for part in installed.groups())
        if version < minimum:
            words = (quoted(document.name), quoted(_dotted(version)), quoted(_dotted(minimum)))
            yield Message(m.CRD_TOO_OLD, document, words)


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
