"""VirtualServices made ready for translation: names resolved, delegates merged in, ordered, visible or not.

Short names are resolved in the rule's own namespace, once, so that translation only ever sees full names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.hostnames import (
    MESH_GATEWAY,
    resolve_gateway_name,
    resolve_short_name,
)
from minimesh.control_plane.service_registry import is_exported

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context.mesh_config import MeshConfig

ROUTE_SEMANTICS_ANNOTATION = "internal.istio.io/route-semantics"


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One entry of `spec.http`, resolved, with the place it was written (a delegate has its own file)."""

    route: Any
    resource: Resource
    index: int

    @property
    def location(self) -> str:
        """`file:line` of the rule; empty when nothing is known about its source."""
        found = self.resource.location(f"spec.http[{self.index}]")
        return f"{found.file}:{found.line}" if found.file else ""


@dataclass(frozen=True, slots=True)
class VirtualServiceConfig:
    """A resolved VirtualService. `gateways` are `namespace/name` or `mesh`; hosts are lower case."""

    name: str
    namespace: str
    hosts: tuple[str, ...]
    gateways: tuple[str, ...]
    export_to: tuple[str, ...]
    http: tuple[HttpRule, ...]
    tcp: tuple[Any, ...]
    tls: tuple[Any, ...]
    resource: Resource

    @property
    def gateway_semantics(self) -> bool:
        """Whether it was made from the Gateway API, whose prefixes end at path segments."""
        return bool(self.resource.metadata.annotations.get(ROUTE_SEMANTICS_ANNOTATION) == "gateway")

    @property
    def ingress_semantics(self) -> bool:
        """Whether it was made from a Kubernetes Ingress."""
        return bool(self.resource.metadata.annotations.get(ROUTE_SEMANTICS_ANNOTATION) == "ingress")

    def visible_from(self, namespace: str) -> bool:
        return is_exported(self.export_to, self.namespace, namespace)


def resolve_virtual_services(
    resources: Iterable[Resource], mesh: MeshConfig
) -> tuple[VirtualServiceConfig, ...]:
    """All VirtualServices that carry hosts, oldest first; those without hosts are delegates of others."""
    ordered = sorted(resources, key=creation_order)
    by_name = {(r.namespace, r.name): r for r in ordered}
    with_hosts = (r for r in ordered if getattr(r.spec, "hosts", ()))
    return tuple(resolve_virtual_service(r, by_name, mesh) for r in with_hosts)


def creation_order(resource: Resource) -> tuple[str, str]:
    """Istio's order for conflicts: the oldest first, and among equals by name."""
    created = resource.metadata.creation_timestamp
    return (str(created or ""), f"{resource.name}.{resource.namespace}")


def resolve_virtual_service(
    resource: Resource, by_name: Mapping[tuple[str, str], Resource], mesh: MeshConfig
) -> VirtualServiceConfig:
    """Resolve one. `by_name` finds its delegates by (namespace, name)."""
    spec: Any = resource.spec
    namespace = resource.namespace
    gateways = spec.gateways or (MESH_GATEWAY,)
    return VirtualServiceConfig(
        name=resource.name,
        namespace=namespace,
        hosts=tuple(resolve_short_name(h, namespace, mesh.domain_suffix) for h in spec.hosts),
        gateways=tuple(resolve_gateway_name(g, namespace) for g in gateways),
        export_to=tuple(spec.export_to) or ("*",),
        http=tuple(_http_rules(resource, by_name, mesh)),
        tcp=tuple(_resolve_routes(r, namespace, mesh) for r in spec.tcp),
        tls=tuple(_resolve_routes(r, namespace, mesh) for r in spec.tls),
        resource=resource,
    )


def _http_rules(
    resource: Resource, by_name: Mapping[tuple[str, str], Resource], mesh: MeshConfig
) -> Iterable[HttpRule]:
    spec: Any = resource.spec
    for index, route in enumerate(spec.http):
        if route.delegate is None:
            yield HttpRule(_resolve_routes(route, resource.namespace, mesh), resource, index)
            continue
        owner = route.delegate.namespace or resource.namespace
        delegate = by_name.get((owner, route.delegate.name))
        if delegate is not None:
            yield from _delegated_rules(_resolve_routes(route, resource.namespace, mesh), delegate, mesh)


def _delegated_rules(root: Any, delegate: Resource, mesh: MeshConfig) -> Iterable[HttpRule]:
    """The delegate's rules, each narrowed by the root rule's matches; a rule that cannot match is dropped."""
    spec: Any = delegate.spec
    for index, written in enumerate(spec.http):
        rule = _resolve_routes(written, delegate.namespace, mesh)
        matches = _merged_matches(root.match, rule.match)
        if matches is None:
            continue
        name = f"{root.name}-{rule.name}" if root.name and rule.name else root.name or rule.name
        yield HttpRule(_inherit(root, replace(rule, name=name, match=matches)), delegate, index)


def _inherit(root: Any, rule: Any) -> Any:
    """What the root rule sets and the delegate leaves open comes from the root."""
    fields = ("rewrite", "timeout", "retries", "fault", "mirror", "cors_policy", "headers")
    return replace(rule, **{f: getattr(root, f) for f in fields if getattr(rule, f) is None})


def _merged_matches(root: Sequence[Any], leaf: Sequence[Any]) -> tuple[Any, ...] | None:
    """Every root match with every leaf match; None when all pairs contradict each other."""
    if not root or not leaf:
        return tuple(root or leaf)
    merged = tuple(both for one in root for other in leaf if (both := _merge_match(one, other)) is not None)
    return merged or None


def _merge_match(root: Any, leaf: Any) -> Any | None:
    if leaf.uri is not None and root.uri is not None and not _narrows(root.uri, leaf.uri):
        return None
    single = ("scheme", "method", "authority")
    if any(getattr(root, f) is not None and getattr(leaf, f) is not None for f in single):
        return None
    if leaf.port and root.port and leaf.port != root.port:
        return None
    return replace(
        leaf,
        name="-".join(part for part in (root.name, leaf.name) if part),
        uri=leaf.uri or root.uri,
        headers={**root.headers, **leaf.headers},
        without_headers={**root.without_headers, **leaf.without_headers},
        query_params={**root.query_params, **leaf.query_params},
        port=leaf.port or root.port,
        gateways=root.gateways,
        source_labels={**root.source_labels, **leaf.source_labels},
        source_namespace=leaf.source_namespace or root.source_namespace,
        **{f: getattr(leaf, f) or getattr(root, f) for f in single},
    )


def _narrows(root: Any, leaf: Any) -> bool:
    """Whether a delegate's path match stays within the root's prefix."""
    written = leaf.exact if leaf.exact is not None else leaf.prefix
    return root.prefix is not None and written is not None and written.startswith(root.prefix)


def _resolve_routes(route: Any, namespace: str, mesh: MeshConfig) -> Any:
    """A copy of an HTTP, TCP or TLS route in which every destination and gateway has its full name."""
    changes: dict[str, Any] = {
        "match": tuple(
            replace(m, gateways=tuple(resolve_gateway_name(g, namespace) for g in m.gateways))
            for m in route.match
        ),
        "route": tuple(
            replace(r, destination=_resolve_destination(r.destination, namespace, mesh)) for r in route.route
        ),
    }
    if getattr(route, "mirror", None) is not None:
        changes["mirror"] = _resolve_destination(route.mirror, namespace, mesh)
    if getattr(route, "mirrors", ()):
        changes["mirrors"] = tuple(
            replace(m, destination=_resolve_destination(m.destination, namespace, mesh))
            for m in route.mirrors
        )
    return replace(route, **changes)


def _resolve_destination(destination: Any, namespace: str, mesh: MeshConfig) -> Any:
    if destination is None:
        return None
    return replace(destination, host=resolve_short_name(destination.host, namespace, mesh.domain_suffix))
