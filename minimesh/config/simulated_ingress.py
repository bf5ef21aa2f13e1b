"""The fields of Ingress and the Gateway API that are acted on; `simulated` has the other kinds."""

from __future__ import annotations

from minimesh.config.kinds import KUBERNETES_GATEWAY

_FILTERS = """
    type
    requestHeaderModifier.**
    responseHeaderModifier.**
    requestMirror.**
"""
_HTTP_FILTERS = f"""
    {_FILTERS}
    requestRedirect.**
    urlRewrite.**
    cors.**
"""
_BACKEND = "group kind name namespace port weight"
_MODIFIERS = "type requestHeaderModifier.** responseHeaderModifier.**"


def _below(prefix: str, paths: str) -> str:
    return "\n".join(f"{prefix}.{path}" for path in paths.split())


_L4_ROUTE = f"""
    spec.parentRefs.**
    spec.rules[].name
    {_below("spec.rules[].backendRefs[]", _BACKEND)}
"""

INGRESS_ACTED_ON: dict[str, str] = {
    "Ingress": """
        spec.ingressClassName
        spec.tls[].hosts
        spec.tls[].secretName
        spec.rules[].host
        spec.rules[].http.paths[].path
        spec.rules[].http.paths[].pathType
        spec.rules[].http.paths[].backend.service.**
    """,
    "IngressClass": """
        spec.controller
    """,
    "GatewayClass": """
        spec.controllerName
        spec.description
    """,
    KUBERNETES_GATEWAY: """
        spec.gatewayClassName
        spec.addresses.**
        spec.infrastructure.labels.**
        spec.infrastructure.annotations.**
        spec.listeners[].name
        spec.listeners[].hostname
        spec.listeners[].port
        spec.listeners[].protocol
        spec.listeners[].allowedRoutes.**
        spec.listeners[].tls.mode
        spec.listeners[].tls.certificateRefs.**
        spec.listeners[].tls.options.**
        spec.tls.frontend.**
    """,
    "HTTPRoute": f"""
        spec.parentRefs.**
        spec.hostnames
        spec.rules[].name
        spec.rules[].matches.**
        {_below("spec.rules[].filters[]", _HTTP_FILTERS)}
        {_below("spec.rules[].backendRefs[]", _BACKEND)}
        {_below("spec.rules[].backendRefs[].filters[]", _MODIFIERS)}
        spec.rules[].timeouts.**
        spec.rules[].retry.**
    """,
    "GRPCRoute": f"""
        spec.parentRefs.**
        spec.hostnames
        spec.rules[].name
        spec.rules[].matches.**
        {_below("spec.rules[].filters[]", _FILTERS)}
        {_below("spec.rules[].backendRefs[]", _BACKEND)}
        {_below("spec.rules[].backendRefs[].filters[]", _MODIFIERS)}
    """,
    "TCPRoute": _L4_ROUTE,
    "TLSRoute": f"spec.hostnames {_L4_ROUTE}",
    "ReferenceGrant": """
        spec.from.**
        spec.to.**
    """,
}
"""Kind, as the store has it, -> the paths that are acted on, written as in `simulated.ACTED_ON`."""
