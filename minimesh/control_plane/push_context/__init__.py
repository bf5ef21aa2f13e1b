"""One immutable, indexed view of everything that translation reads: the PushContext.

It is built once for each change of configuration and never touched again, so that proxies may be translated
in any order with the same answer. It holds no protobuf and knows no proxy: callers pass a proxy's namespace
and labels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.converted import Converted, converted
from minimesh.control_plane.hostnames import MESH_GATEWAY
from minimesh.control_plane.mesh_config import MeshConfig
from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig, DestinationRules
from minimesh.control_plane.push_context.envoy_filters import EnvoyFilters
from minimesh.control_plane.push_context.gateways import MergedGateway, merge_gateways, selects
from minimesh.control_plane.push_context.mesh_settings import MeshSettings
from minimesh.control_plane.push_context.sharing import Sharing
from minimesh.control_plane.push_context.sidecar_scope import (
    SidecarScope,
    scope_of_everything,
    scope_of_sidecar,
)
from minimesh.control_plane.push_context.telemetry import Telemetry
from minimesh.control_plane.push_context.virtual_services import (
    VirtualServiceConfig,
    in_order_of_audience,
    resolve_virtual_services,
)
from minimesh.control_plane.service_registry import ServiceRegistry
from minimesh.control_plane.service_registry.services import Service
from minimesh.control_plane.service_registry.workloads import RegisteredWorkload

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot

__all__ = ["MeshConfig", "PushContext"]

_KINDS = (
    "ConfigMap",
    "DestinationRule",
    "EnvoyFilter",
    "Gateway",
    "Secret",
    "Sidecar",
    "Telemetry",
    "VirtualService",
)


class PushContext:
    """The mesh as of one snapshot. Every look-up answers from an index made when it was built."""

    def __init__(
        self,
        registry: ServiceRegistry,
        resources: Iterable[Resource],
        mesh: MeshConfig,
        meant: Converted | None = None,
        before: PushContext | None = None,
    ) -> None:
        """`meant` is what some of the resources were converted from; what came out the same in the context
        `before` is the very same object."""
        by_kind: dict[str, list[Resource]] = {}
        for resource in resources:
            by_kind.setdefault(resource.kind, []).append(resource)
        self.mesh = mesh
        self.registry = registry
        self.converted = meant
        self.destination_rules: DestinationRules = DestinationRules(
            by_kind.get("DestinationRule", ()), mesh, before.destination_rules if before is not None else None
        )
        self.envoy_filters = EnvoyFilters(by_kind.get("EnvoyFilter", ()), mesh)
        self.telemetry = Telemetry(by_kind.get("Telemetry", ()), mesh)
        self.virtual_services: tuple[VirtualServiceConfig, ...] = resolve_virtual_services(
            by_kind.get("VirtualService", ()), mesh, before.virtual_services if before is not None else ()
        )
        self._gateways = sorted(by_kind.get("Gateway", ()), key=creation_order)
        self._sidecars = sorted(by_kind.get("Sidecar", ()), key=creation_order)
        self._mesh_rules = tuple(v for v in self.virtual_services if MESH_GATEWAY in v.gateways)
        self.shared: Sharing = Sharing(before.shared if before is not None else None)
        self._default_scopes: dict[str, SidecarScope] = {}
        self._narrowed_scopes: dict[tuple[str, str, str], SidecarScope] = {}
        self._config_maps: dict[tuple[str, str], Mapping[str, str]] = {
            (each.namespace, each.name): each.spec.data for each in by_kind.get("ConfigMap", ())
        }
        self._secrets = {(each.namespace, each.name): each.spec for each in by_kind.get("Secret", ())}

    @classmethod
    def build(
        cls,
        snapshot: Snapshot,
        registered: Sequence[RegisteredWorkload] = (),
        mesh: MeshConfig | None = None,
        before: PushContext | None = None,
        registry: ServiceRegistry | None = None,
    ) -> PushContext:
        """Index a snapshot of the store, with the proxies that registered themselves as workloads.

        `before`: the last context, of which everything that did not change is kept. `registry`: of the
        snapshot, where it is known already.
        """
        settings = mesh or MeshSettings(MeshConfig()).of(snapshot)
        registry = registry or ServiceRegistry.from_snapshot(
            snapshot,
            registered,
            settings.domain_suffix,
            settings.default_service_export_to,
            before.registry if before is not None else None,
        )
        resources = [resource for kind in _KINDS for resource in snapshot.by_kind(kind)]
        meant = converted(snapshot, registry, settings, before.converted if before is not None else None)
        return cls(registry, [*resources, *meant.resources.values()], settings, meant, before)

    def with_registry(self, registry: ServiceRegistry, hosts: Collection[str]) -> PushContext:
        """The same configuration over the same services, of which these hosts have other endpoints."""
        context = copy(self)
        context.registry = registry
        context.shared = self.shared.with_other_endpoints(hosts)
        return context

    def secret(self, namespace: str, name: str) -> Any | None:
        """The data of a Secret; None when there is none of that name."""
        return self._secrets.get((namespace, name))

    def config_map(self, namespace: str, name: str) -> Mapping[str, str]:
        """The data of a ConfigMap; empty when there is none of that name."""
        return self._config_maps.get((namespace, name), {})

    def gateway_rules(self, namespace: str, gateway: str) -> list[VirtualServiceConfig]:
        """VirtualServices bound to `namespace/name` and visible from a proxy's namespace."""
        bound = (each for each in self.virtual_services if gateway in each.gateways)
        return in_order_of_audience(bound, namespace)

    def merged_gateway(
        self, namespace: str, labels: Mapping[str, str], named_ports: Mapping[str, int]
    ) -> MergedGateway:
        """The Gateways that select a proxy, with their ports turned into the proxy's own."""
        targets = self.registry.targets(namespace, labels, named_ports)
        served = frozenset(target.service.hostname for target in targets)

        def target_ports(port: int, hostnames: Collection[str]) -> Iterable[int]:
            ports = [t for t in targets if t.port.port == port]
            if hostnames:  # a Gateway that names its services has only their ports, and all of them
                return dict.fromkeys(t.target_port for t in ports if t.service.hostname in hostnames)
            return (ports[0].target_port if ports else port,)

        return merge_gateways((g for g in self._gateways if selects(g, labels, served)), target_ports)

    def sidecar_scope(self, namespace: str, labels: Mapping[str, str]) -> SidecarScope:
        """What a proxy may call. A Sidecar that selects it wins over its namespace's, then the root's."""
        resource = self._sidecar_for(namespace, labels)
        if resource is None:
            return self.default_scope(namespace)
        key = (namespace, resource.namespace, resource.name)
        scope = self._narrowed_scopes.get(key)
        if scope is None:
            scope = scope_of_sidecar(resource, self.default_scope(namespace), namespace)
            self._narrowed_scopes[key] = scope
        return scope

    def default_scope(self, namespace: str) -> SidecarScope:
        """What a proxy of this namespace may call without a Sidecar resource; gateways obey none."""
        scope = self._default_scopes.get(namespace)
        if scope is None:
            scope = scope_of_everything(namespace, self.registry.services, self._mesh_rules, self.mesh)
            self._default_scopes[namespace] = scope
        return scope

    def destination_rule(
        self, hostname: str, namespace: str, labels: Mapping[str, str]
    ) -> DestinationRuleConfig | None:
        """The DestinationRule that a proxy of this namespace applies to a host."""
        service = self.service_for(hostname, namespace, namespace)
        owner = service.namespace if service is not None else ""
        return self.destination_rules.find(hostname, owner, namespace, labels)

    def service_for(self, hostname: str, rule_namespace: str, namespace: str) -> Service | None:
        """The service a rule means: of the rule's namespace if the proxy may see it, else any it may see.

        Of those a Kubernetes Service comes first, as in `unique_by_hostname`.
        """
        found = self.registry.services_named(hostname)
        visible = [service for service in found if service.visible_from(namespace)]
        for wanted in (rule_namespace, namespace):
            for service in visible:
                if service.namespace == wanted:
                    return service
        return next((each for each in visible if each.kubernetes), visible[0] if visible else None)

    def _sidecar_for(self, namespace: str, labels: Mapping[str, str]) -> Resource | None:
        own = [s for s in self._sidecars if s.namespace == namespace]
        for resource in own:
            selector = getattr(resource.spec, "workload_selector", None)
            if selector is not None and all(labels.get(k) == v for k, v in selector.labels.items()):
                return resource
        root = [s for s in self._sidecars if s.namespace == self.mesh.root_namespace]
        for resource in (*own, *root):
            if getattr(resource.spec, "workload_selector", None) is None:
                return resource
        return None
