"""VirtualServices and the gateways they name, the hosts they share, the claims they route by."""

from __future__ import annotations

from collections.abc import Iterator

from minimesh.config.analysis import message as m
from minimesh.config.analysis.document import Document
from minimesh.config.analysis.message import Message, listed, quoted
from minimesh.config.analysis.view import (
    GATEWAY_API,
    SECURITY,
    View,
    fqdn,
    hosts_overlap,
    items,
    mapping,
    name_in,
    selects,
    texts,
)

_MESH = "mesh"
_CLAIM = "@request.auth.claims"


def check_gateways(view: View) -> Iterator[Message]:
    """Gateways that are not there, or serve none of the hosts (virtualservice.GatewayAnalyzer)."""
    for document in view.of_kind("VirtualService"):
        for index, reference in enumerate(texts(document.spec, "gateways")):
            if reference == _MESH:
                continue
            path = ("spec", "gateways", index)
            name = name_in(document.namespace, reference)
            served = _served_hosts(view, name, document.namespace)
            if served is None:
                yield Message(m.NOT_FOUND, document, ("gateway", quoted(reference)), path)
            hosts = texts(document.spec, "hosts")
            if not any(hosts_overlap(host, own) for host in served or () for own in hosts):
                words = (listed(hosts), document.full_name, name)
                yield Message(m.HOST_NOT_IN_GATEWAY, document, words, path)


def check_mesh_hosts(view: View) -> Iterator[Message]:
    """Several for the same host inside the mesh (virtualservice.ConflictingMeshGatewayHostsAnalyzer)."""
    by_host: dict[tuple[str, str], list[Document]] = {}
    for document in view.of_kind("VirtualService"):
        gateways = texts(document.spec, "gateways")
        if gateways and _MESH not in gateways:
            continue
        for scope in _scopes(document):
            for host in texts(document.spec, "hosts"):
                by_host.setdefault((scope, fqdn(host, document.namespace)), []).append(document)
    for (scope, host), documents in by_host.items():
        if len(documents) > 1:
            names = ",".join(each.full_name for each in documents)
            for each in documents:
                arguments = (names, f"{scope}/{host}")
                yield Message(m.CONFLICTING_MESH_HOSTS, each, arguments, ("metadata", "name"))


def check_jwt_claims(view: View) -> Iterator[Message]:
    """Routes by JWT claims at gateways that check no JWT (virtualservice.JWTClaimRouteAnalyzer)."""
    for document in view.of_kind("VirtualService"):
        key = _claim_key(document)
        for reference in texts(document.spec, "gateways") if key else ():
            name = name_in(document.namespace, reference)
            gateway = view.find("Gateway", name)
            for pod in view.selected_pods(mapping(gateway.spec, "selector")) if gateway else ():
                if not _has_authentication(view, pod):
                    yield Message(m.JWT_WITHOUT_AUTHENTICATION, document, (key, name, pod.name))


def _served_hosts(view: View, name: str, namespace: str) -> list[str] | None:
    """The hosts that a Gateway serves for VirtualServices of a namespace; None for no Gateway."""
    gateway = view.find("Gateway", name)
    if gateway is not None:
        written = [host for server in items(gateway.spec, "servers") for host in texts(server, "hosts")]
        return [*_for_namespace(written, gateway.namespace, namespace)]
    gateway = view.find("Gateway", name, GATEWAY_API)
    if gateway is None:
        return None
    return [str(listener.get("hostname") or "*") for listener in items(gateway.spec, "listeners")]


def _for_namespace(hosts: list[str], own: str, namespace: str) -> Iterator[str]:
    for host in hosts:
        scope, slash, name = host.rpartition("/")
        if not slash or scope == "*" or (own if scope == "." else scope) == namespace:
            yield name


def _scopes(document: Document) -> list[str]:
    export_to = texts(document.spec, "exportTo")
    if not export_to or "*" in export_to:
        return ["*"]
    return [document.namespace if each == "." else each for each in export_to]


def _claim_key(document: Document) -> str:
    for rule in items(document.spec, "http"):
        for match in items(rule, "match"):
            for field in ("headers", "withoutHeaders"):
                for key in mapping(match, field):
                    if key.startswith(_CLAIM):
                        return key
    return ""


def _has_authentication(view: View, pod: Document) -> bool:
    return any(
        each.namespace in ("istio-system", pod.namespace)
        and selects(mapping(mapping(each.spec, "selector"), "matchLabels"), pod.labels)
        for each in view.of_kind("RequestAuthentication", SECURITY)
    )
