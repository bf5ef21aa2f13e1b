"""Which DestinationRule a proxy applies to a host: merged, most specific host first, by namespace.

Look-up order is Istio's: the client's namespace, then the service's, then the root namespace; within each the
exact host wins over the longest wildcard. Rules of one namespace for one host are merged: the oldest gives
the traffic policy, all give subsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.creation_order import creation_order
from minimesh.control_plane.push_context.hostnames import (
    is_subset,
    is_wildcard,
    resolve_short_name,
    specificity,
)
from minimesh.control_plane.service_registry.services import is_exported

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context.mesh_config import MeshConfig


@dataclass(frozen=True, slots=True)
class DestinationRuleConfig:
    """A merged rule. `traffic_policy` may be None; subset names are unique."""

    host: str
    namespace: str
    name: str
    traffic_policy: Any
    subsets: tuple[Any, ...]
    export_to: tuple[str, ...]
    workload_labels: Mapping[str, str]
    resource: Resource

    def subset(self, name: str) -> Any | None:
        return next((subset for subset in self.subsets if subset.name == name), None)


class DestinationRules:
    """All rules of a push, by namespace and host."""

    def __init__(
        self, resources: Iterable[Resource], mesh: MeshConfig, before: DestinationRules | None = None
    ) -> None:
        """A rule that comes out as it did `before` is the very same object."""
        self._root_namespace = mesh.root_namespace
        self._by_namespace: dict[str, dict[str, list[DestinationRuleConfig]]] = {}
        for resource in sorted(resources, key=creation_order):
            self._add(_from_resource(resource, mesh))
        self._wildcards = {
            namespace: sorted(filter(is_wildcard, by_host), key=specificity, reverse=True)
            for namespace, by_host in self._by_namespace.items()
        }
        if before is not None:
            self._keep(before)

    def find(
        self, hostname: str, service_namespace: str, namespace: str, labels: Mapping[str, str]
    ) -> DestinationRuleConfig | None:
        """The rule for `hostname` as a proxy of `namespace` with `labels` sees it, or None."""
        for owner in dict.fromkeys((namespace, service_namespace, self._root_namespace)):
            found = self._most_specific(owner, hostname, namespace, labels)
            if found is not None:
                return found
        return None

    def _most_specific(
        self, owner: str, hostname: str, namespace: str, labels: Mapping[str, str]
    ) -> DestinationRuleConfig | None:
        by_host = self._by_namespace.get(owner)
        if by_host is None:
            return None
        wildcards = [host for host in self._wildcards[owner] if is_subset(hostname, host)]
        for host in dict.fromkeys((hostname, *wildcards)):
            for rule in by_host.get(host, ()):
                if is_exported(rule.export_to, owner, namespace) and _selects(rule, owner, namespace, labels):
                    return rule
        return None

    def _keep(self, before: DestinationRules) -> None:
        for namespace, by_host in self._by_namespace.items():
            known = before._by_namespace.get(namespace, {})
            for host, rules in by_host.items():
                rules[:] = [_kept(rule, known.get(host, ())) for rule in rules]

    def _add(self, rule: DestinationRuleConfig) -> None:
        rules = self._by_namespace.setdefault(rule.namespace, {}).setdefault(rule.host, [])
        for index, existing in enumerate(rules):
            same_audience = existing.export_to == rule.export_to
            if same_audience and existing.workload_labels == rule.workload_labels:
                rules[index] = _merge(existing, rule)
                return
        # A rule for chosen workloads is asked before the rule for all.
        rules.append(rule)
        rules.sort(key=lambda r: not r.workload_labels)


def _kept(rule: DestinationRuleConfig, known: Iterable[DestinationRuleConfig]) -> DestinationRuleConfig:
    return next((each for each in known if each.resource is rule.resource and each == rule), rule)


def _selects(rule: DestinationRuleConfig, owner: str, namespace: str, labels: Mapping[str, str]) -> bool:
    if not rule.workload_labels:
        return True
    return owner == namespace and all(labels.get(k) == v for k, v in rule.workload_labels.items())


def _merge(older: DestinationRuleConfig, newer: DestinationRuleConfig) -> DestinationRuleConfig:
    known = {subset.name for subset in older.subsets}
    return DestinationRuleConfig(
        host=older.host,
        namespace=older.namespace,
        name=older.name,
        traffic_policy=older.traffic_policy if older.traffic_policy is not None else newer.traffic_policy,
        subsets=older.subsets + tuple(s for s in newer.subsets if s.name not in known),
        export_to=older.export_to,
        workload_labels=older.workload_labels,
        resource=older.resource,
    )


def _from_resource(resource: Resource, mesh: MeshConfig) -> DestinationRuleConfig:
    spec: Any = resource.spec
    selector = spec.workload_selector
    return DestinationRuleConfig(
        host=resolve_short_name(spec.host, resource.namespace, mesh.domain_suffix),
        namespace=resource.namespace,
        name=resource.name,
        traffic_policy=spec.traffic_policy,
        subsets=tuple(spec.subsets),
        export_to=tuple(spec.export_to) or mesh.default_destination_rule_export_to,
        workload_labels=dict(selector.match_labels) if selector is not None else {},
        resource=resource,
    )
