"""The mesh at a glance: pods, services and who is behind them, the shares that routes give, what to try."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.dashboard.requests_to_try import requests_to_try

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.server import ControlPlane
    from minimesh.dashboard.mesh_view import MeshView

PROXY_CONTAINER = "istio-proxy"
GATEWAY_LABEL = "istio"
DEPLOYED_GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"


def mesh_summary(mesh: MeshView) -> dict[str, Any]:
    """All of it as plain data."""
    host, port = mesh.ingress
    plane = mesh.control_plane
    context = plane.push_context
    return {
        "ingress": {"host": host, "port": port},
        "pods": [_pod(each) for each in mesh.pods()],
        "services": list(_services(context)) if context is not None else [],
        "splits": [split for each in _rules(plane) for split in _splits(each)],
        "lab_requests": [
            {
                "title": f"GET {'' if asked == '*' else asked}{path}",
                "method": "GET",
                "url": f"http://{host}:{port}{path}",
                "headers": [] if asked == "*" else [["Host", asked]],
                "from": "",
            }
            for asked, path in requests_to_try(plane.config)
        ],
    }


def _pod(pod: Mapping[str, Any]) -> dict[str, Any]:
    labels = pod["labels"]
    return {
        "name": pod["name"],
        "namespace": pod["namespace"],
        "workload": pod["workload"],
        "version": labels.get("version", ""),
        "ip": pod["ip"],
        "ready": pod["ready"],
        "state": pod["state"],
        "labels": labels,
        "gateway": "gateway" in labels.get(GATEWAY_LABEL, "") or DEPLOYED_GATEWAY_LABEL in labels,
        "proxy": any(each["name"] == PROXY_CONTAINER for each in pod["containers"]),
    }


def _services(context: PushContext) -> Iterator[dict[str, Any]]:
    registry = context.registry
    for service in registry.services:
        behind = {
            f"{each.namespace}/{each.workload}": None
            for port in service.ports
            for each in registry.endpoints(service, port)
        }
        yield {
            "name": service.hostname.partition(".")[0],
            "namespace": service.namespace,
            "hostname": service.hostname,
            "ports": [{"port": p.port, "name": p.name, "protocol": str(p.protocol)} for p in service.ports],
            "selector": dict(service.selector),
            "pods": list(behind),
        }


def _rules(plane: ControlPlane) -> Iterator[Resource]:
    """The VirtualServices, and what Ingresses and routes of the Gateway API were translated to."""
    yield from plane.config.by_kind("VirtualService")
    meant = plane.push_context.converted if plane.push_context is not None else None
    if meant is not None:
        yield from (each for each in meant.resources.values() if each.kind == "VirtualService")


def _splits(rule: Resource) -> Iterator[dict[str, Any]]:
    """Routes of a VirtualService that share requests between destinations, under who wrote them."""
    spec: Any = rule.spec
    for number, route in enumerate(spec.http):
        if len(route.route) < 2:
            continue
        total = sum(each.weight for each in route.route) or 1
        written, field = rule.written(f"spec.http[{number}]")
        place = written.source.location(field) if written.source.file else None
        yield {
            "resource": str(written.key),
            "hosts": list(spec.hosts),
            "route": route.name or str(number),
            "file": place.file if place else "",
            "line": place.line if place else 0,
            "destinations": [
                {
                    "host": each.destination.host,
                    "subset": each.destination.subset or "",
                    "weight": each.weight,
                    "share_percent": 100 * each.weight / total,
                }
                for each in route.route
            ],
        }
