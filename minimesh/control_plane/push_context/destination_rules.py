"""Which DestinationRule a proxy applies to a host: merged, most specific host first, by namespace.

Look-up order is Istio's: all rules of the client's namespace, then what the service's namespace exports, then
what the root namespace exports. Of the first that has a rule for the host, or for a wildcard around it, the
most specific host counts, also where the rule that is found there is not for this client. In the root
namespace itself, where gateways often are and rules for the whole mesh, only its private rules come before
those of the service's namespace.

Rules of one namespace for one host that are exported alike are merged: the oldest gives the traffic policy,
all give subsets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.hostnames import (
    is_subset,
    is_wildcard,
    resolve_short_name,
    specificity,
)
from minimesh.control_plane.service_registry.services import is_exported

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.mesh_config import MeshConfig


_PRIVATE = (".",)


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
    selects: bool = False
    """Whether it is for chosen workloads of its namespace alone, those with `workload_labels`."""
    audience: frozenset[str] = frozenset()
    """`exportTo` as written; nothing is not the same as `*` where rules are merged."""

    def subset(self, name: str) -> Any | None:
        return next((subset for subset in self.subsets if subset.name == name), None)


class DestinationRules:
    """All rules of a push, by who may look them up, namespace and host."""

    def __init__(
        self, resources: Iterable[Resource], mesh: MeshConfig, before: DestinationRules | None = None
    ) -> None:
        """A rule that comes out as it did `before` is the very same object."""
        self._root_namespace = mesh.root_namespace
        self._local: dict[str, _Index] = {}
        """What proxies of a namespace look up in it."""
        self._exported: dict[str, _Index] = {}
        """What proxies of other namespaces do."""
        self._root_private = _Index()
        for rule in sorted((_from_resource(each, mesh) for each in resources), key=_merging_order):
            self._add(rule)
        if before is not None:
            self._keep(before)

    def find(
        self, hostname: str, service_namespace: str, namespace: str, labels: Mapping[str, str]
    ) -> DestinationRuleConfig | None:
        """The rule for `hostname` as a proxy of `namespace` with `labels` sees it, or None."""
        return _chosen(self._candidates(hostname, service_namespace, namespace), namespace, labels)

    def _candidates(
        self, hostname: str, service_namespace: str, namespace: str
    ) -> Sequence[DestinationRuleConfig]:
        own = self._root_private if namespace == self._root_namespace else self._local.get(namespace, _NONE)
        if local := own.most_specific(hostname):
            return local
        for owner in (service_namespace, self._root_namespace):
            found = self._exported.get(owner, _NONE).most_specific(hostname)
            if exported := [each for each in found if is_exported(each.export_to, owner, namespace)]:
                return exported
        return ()

    def _add(self, rule: DestinationRuleConfig) -> None:
        if not rule.export_to or {"*", ".", rule.namespace} & set(rule.export_to):
            self._local.setdefault(rule.namespace, _Index()).add(rule)
        if tuple(rule.export_to) not in (_PRIVATE, (rule.namespace,)):
            self._exported.setdefault(rule.namespace, _Index()).add(rule)
        elif rule.namespace == self._root_namespace:
            self._root_private.add(rule)

    def _keep(self, before: DestinationRules) -> None:
        for mine, theirs in ((self._local, before._local), (self._exported, before._exported)):
            for namespace, index in mine.items():
                index.keep(theirs.get(namespace, _NONE))
        self._root_private.keep(before._root_private)


class _Index:
    """Rules of one namespace by host."""

    def __init__(self) -> None:
        self._by_host: dict[str, list[DestinationRuleConfig]] = {}
        self._wildcards: list[str] = []
        """The most specific first."""

    def most_specific(self, hostname: str) -> Sequence[DestinationRuleConfig]:
        """The rules for a host, else those for the longest wildcard around it."""
        exact = self._by_host.get(hostname)
        if exact is not None:
            return exact
        return next((self._by_host[each] for each in self._wildcards if is_subset(hostname, each)), ())

    def add(self, rule: DestinationRuleConfig) -> None:
        """Merge a rule, newer than all before, into those for its host, or put it beside them.

        What is exported otherwise stands apart; so does a rule for all beside one for chosen workloads, which
        takes up what the former has beyond it.
        """
        rules = self._by_host.setdefault(rule.host, [])
        if not rules and is_wildcard(rule.host):
            self._wildcards.append(rule.host)
            self._wildcards.sort(key=specificity, reverse=True)
        stands_apart = True
        for index, existing in enumerate(rules):
            same_audience = existing.audience == rule.audience
            wider = bool(existing.audience) and rule.audience > existing.audience
            same_workloads = existing.workload_labels == rule.workload_labels
            other_workloads = existing.selects and rule.selects and not same_workloads
            if other_workloads or not (same_audience or wider):
                stands_apart = True
                continue
            stands_apart = not (same_workloads and existing.selects == rule.selects)
            rules[index] = _merge(existing, rule)
        if stands_apart:
            rules.append(rule)

    def keep(self, before: _Index) -> None:
        """Put what was there `before`, and is still the same, in place of its equal."""
        for host, rules in self._by_host.items():
            known = before._by_host.get(host, ())
            rules[:] = [_kept(rule, known) for rule in rules]


_NONE = _Index()


def _merging_order(rule: DestinationRuleConfig) -> tuple[bool, tuple[str, str]]:
    """Those for chosen workloads first, then the oldest."""
    return (not rule.selects, creation_order(rule.resource))


def _chosen(
    rules: Sequence[DestinationRuleConfig], namespace: str, labels: Mapping[str, str]
) -> DestinationRuleConfig | None:
    """The first that selects the workload, else the last that is for all."""
    general = None
    for rule in rules:
        if not rule.selects:
            general = rule
        elif rule.namespace == namespace and all(labels.get(k) == v for k, v in rule.workload_labels.items()):
            return rule
    return general


def _kept(rule: DestinationRuleConfig, known: Iterable[DestinationRuleConfig]) -> DestinationRuleConfig:
    return next((each for each in known if each.resource is rule.resource and each == rule), rule)


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
        selects=older.selects,
        audience=older.audience,
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
        # Rules for chosen workloads are for those of their own namespace.
        export_to=_PRIVATE if selector is not None else _export_to(spec, mesh),
        workload_labels=dict(selector.match_labels) if selector is not None else {},
        resource=resource,
        selects=selector is not None,
        audience=frozenset(_PRIVATE if selector is not None else spec.export_to),
    )


def _export_to(spec: Any, mesh: MeshConfig) -> tuple[str, ...]:
    return tuple(spec.export_to) or mesh.default_destination_rule_export_to
