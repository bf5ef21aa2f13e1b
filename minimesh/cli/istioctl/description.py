"""What `x describe` says of a pod or a service: who leads to it, and by which rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minimesh.config.analysis.document import Document
from minimesh.config.analysis.view import PROXY, View, fqdn, items, mapping, selects, texts

_RULE = "-" * 20
Json = Mapping[str, Any]


def describe_pod(view: View, pod: Document, ingress_url: str) -> str:
    """The pod, each service that selects it, and how each is exposed."""
    containers = items(pod.spec, "containers")
    ports = [
        f"{port.get('containerPort', 0)} ({each.get('name', '')})"
        for each in containers
        for port in items(each, "ports")
    ]
    exposed = f"Pod Ports: {', '.join(ports)}" if ports else "Pod does not expose ports"
    lines = [f"Pod: {pod.name}", "   Pod Revision: default", f"   {exposed}"]
    if not any(each.get("name") == PROXY for each in containers):
        lines.append(f"WARNING: {pod.name} is not part of mesh; no Istio sidecar")
    services = [
        each
        for each in view.core("Service")
        if each.namespace == pod.namespace
        and mapping(each.spec, "selector")
        and selects(mapping(each.spec, "selector"), pod.labels)
    ]
    for service in services:
        lines += [_RULE, *_of_service(view, service, pod.labels)]
    for service in services:
        lines += _exposure(view, service, ingress_url, rule=True)
    return "\n".join(lines) + "\n"


def describe_service(view: View, service: Document, ingress_url: str) -> str:
    """The service, the rules for it, and how it is exposed."""
    lines = [*_of_service(view, service, None), *_exposure(view, service, ingress_url, rule=False)]
    return "\n".join(lines) + "\n"


def _of_service(view: View, service: Document, labels: Mapping[str, str] | None) -> Iterator[str]:
    yield f"Service: {service.name}" + ("" if service.namespace == "default" else f".{service.namespace}")
    for port in items(service.spec, "ports"):
        number, name = port.get("port", 0), str(port.get("name", ""))
        target = port.get("targetPort") or number
        yield f"   Port: {name} {number}/{_protocol(name)} targets pod port {target}"
    host = fqdn(service.name, service.namespace)
    matching: list[str] = []
    for document in view.of_kind("DestinationRule"):
        if fqdn(str(document.spec.get("host", "")), document.namespace) == host:
            matching = _matching_subsets(document, labels)
            yield from _of_destination_rule(document, labels, matching)
    for document in view.of_kind("VirtualService"):
        gateways = texts(document.spec, "gateways")
        if (not gateways or "mesh" in gateways) and [*_routes_to(document, host)]:
            yield f"VirtualService: {document.name}"
            yield from _of_routes(document, host, matching if labels is not None else None)


def _of_destination_rule(
    document: Document, labels: Mapping[str, str] | None, matching: Sequence[str]
) -> Iterator[str]:
    yield f'DestinationRule: {document.name} for "{document.spec.get("host", "")}"'
    names = [str(each.get("name", "")) for each in items(document.spec, "subsets")]
    other = [name for name in names if name not in matching]
    if names and matching:
        yield f"   Matching subsets: {','.join(matching)}"
        if other:
            yield f"      (Non-matching subsets {','.join(other)})"
    elif names:
        yield f"   WARNING POD DOES NOT MATCH ANY SUBSETS.  (Non matching subsets {','.join(names)})"
    policy = mapping(document.spec, "trafficPolicy")
    words = {
        "tls": "Traffic Policy TLS Mode",
        "loadBalancer": "load balancer",
        "connectionPool": "connection pool",
        "outlierDetection": "outlier detection",
    }
    if not policy:
        yield "   No Traffic Policy"
    elif mapping(policy, "tls"):
        yield f"   {words['tls']}: {policy['tls'].get('mode', 'DISABLE')}"
    else:
        yield f"   {'/'.join(text for name, text in words.items() if name in policy)}"


def _matching_subsets(document: Document, labels: Mapping[str, str] | None) -> list[str]:
    subsets = items(document.spec, "subsets")
    return [
        str(each.get("name", ""))
        for each in subsets
        if labels is None or selects(mapping(each, "labels"), labels)
    ]


def _of_routes(document: Document, host: str, subsets: Sequence[str] | None) -> Iterator[str]:
    """The routes to a host; of a pod those to its subsets, or a warning that there are none."""
    routes = [*_routes_to(document, host)]
    reaching = [each for each in routes if subsets is None or each[1].get("subset", "") in ("", *subsets)]
    if not reaching:
        count = len(items(document.spec, "http"))
        yield f"   WARNING: No destinations match pod subsets (checked {count} HTTP routes)"
        for rule, destination, _ in routes:
            when = "when " if items(rule, "match") else ""
            yield f"      Route to non-matching subset {destination['subset']} for ({when}{_condition(rule)})"
    for rule, destination, weight in reaching:
        text = f'Route to host "{destination.get("host", "")}"'
        text += f' subset "{destination["subset"]}"' if destination.get("subset") else ""
        text += f" with weight {weight}%" if weight is not None else ""
        text += f" when {_condition(rule)}" if items(rule, "match") else ""
        yield f"   {text}"


def _routes_to(document: Document, host: str) -> Iterator[tuple[Json, Json, int | None]]:
    for rule in items(document.spec, "http"):
        for each in items(rule, "route"):
            if _leads_to(each, document, host):
                yield rule, mapping(each, "destination"), each.get("weight")


def _leads_to(route: Json, document: Document, host: str) -> bool:
    return fqdn(str(mapping(route, "destination").get("host", "")), document.namespace) == host


def _condition(rule: Json) -> str:
    """What a rule asks of a request."""
    described = []
    for match in items(rule, "match"):
        parts = [f"{kind} {value}" for kind, value in mapping(match, "uri").items()]
        headers = [
            f"{name}={next(iter(pattern.values()), '')}" if isinstance(pattern, Mapping) else name
            for name, pattern in mapping(match, "headers").items()
        ]
        if headers:
            parts.append(f"headers are {', '.join(headers)}")
        described.append(" and ".join(parts) or "everything")
    return " or ".join(described) or "everything"


def _exposure(view: View, service: Document, ingress_url: str, *, rule: bool) -> Iterator[str]:
    host = fqdn(service.name, service.namespace)
    for document in view.of_kind("VirtualService"):
        gateways = [each for each in texts(document.spec, "gateways") if each != "mesh"]
        rules = [
            each
            for each in items(document.spec, "http")
            if any(_leads_to(route, document, host) for route in items(each, "route"))
        ]
        if gateways and rules:
            if rule:
                yield _RULE
            yield f"Exposed on Ingress Gateway {ingress_url}"
            yield f"VirtualService: {document.name}"
            yield f"   {', '.join(_paths(each) for each in rules)}"


def _paths(rule: Json) -> str:
    shown = []
    for match in items(rule, "match"):
        uri = mapping(match, "uri")
        path = uri.get("exact") or (f"{uri['prefix']}*" if "prefix" in uri else uri.get("regex"))
        shown.append(f"Match: {path}" if path else "Match: /*")
    return ", ".join(shown) or "Match: /*"


def _protocol(port_name: str) -> str:
    name = port_name.partition("-")[0].upper()
    return (
        name
        if name in ("HTTP", "HTTP2", "HTTPS", "GRPC", "TCP", "TLS", "MONGO", "MYSQL", "REDIS")
        else "auto-detect"
    )
