"""Endpoints by locality, with the priorities and weights that a DestinationRule or the mesh gives them.

Istio's three ways: `distribute` gives localities weights, `failover` and the default make those further away
priorities to fall back on, and `failoverPriority` does so by labels. The last two need outlier detection:
without it no host would ever count as failed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from minimesh.control_plane.locality import OTHER_REGION, Locality, topology_labels

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import (
        Distribute,
        Failover,
        LoadBalancerSettings,
        LocalityLoadBalancerSetting,
    )
    from minimesh.control_plane.service_registry.services import Endpoint

_BEYOND_FAILOVER = OTHER_REGION + 1
"""The distance of a region that is not the one to fail over to."""


@dataclass(frozen=True, slots=True)
class LocalityGroup:
    """The endpoints of one locality that share a priority; 0 is asked first."""

    locality: Locality
    endpoints: tuple[Endpoint, ...]
    weight: int
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """The proxy whose view it is. Only the labels that a rule names are looked at."""

    locality: Locality
    labels: Mapping[str, str]
    network: str = ""

    def label(self, name: str) -> str:
        """A label of its own or of its place; empty when it has none of that name."""
        derived = topology_labels({}, self.locality, self.network).get(name, "")
        return derived or self.labels.get(name, "")


def effective_setting(
    mesh: LocalityLoadBalancerSetting | None, load_balancer: LoadBalancerSettings | None
) -> LocalityLoadBalancerSetting | None:
    """The LocalityLoadBalancerSetting in force: a rule's replaces the mesh's; None when switched off."""
    setting = load_balancer.locality_lb_setting if load_balancer is not None else None
    chosen = mesh if setting is None else setting
    return None if chosen is None or chosen.enabled is False else chosen


def by_locality(endpoints: Iterable[Endpoint]) -> list[LocalityGroup]:
    """One group for each locality, sorted; it weighs as much as its endpoints together."""
    found: dict[str, list[Endpoint]] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.locality, []).append(endpoint)
    return [_group(Locality.parse(name), members) for name, members in sorted(found.items())]


def arranged(
    groups: Sequence[LocalityGroup], setting: LocalityLoadBalancerSetting, caller: Caller, *, fails_over: bool
) -> list[LocalityGroup]:
    """The groups as a caller is to use them. `fails_over`: the cluster detects outliers."""
    if setting.distribute:
        return _distributed(groups, setting.distribute, caller.locality)
    if not fails_over:
        return list(groups)
    if setting.failover_priority:
        found = _by_labels(groups, setting.failover_priority, caller)
        return _by_distance(found, setting.failover, caller.locality) if setting.failover else found
    return _by_distance(groups, setting.failover, caller.locality)


def _group(locality: Locality, endpoints: Sequence[Endpoint], priority: int = 0) -> LocalityGroup:
    return LocalityGroup(locality, tuple(endpoints), sum(e.weight or 1 for e in endpoints), priority)


def _distributed(
    groups: Sequence[LocalityGroup], distribute: Sequence[Distribute], caller: Locality
) -> list[LocalityGroup]:
    """The share of each locality; those that the caller's rule does not name are left without endpoints."""
    rule = next((rule for rule in distribute if caller.matches(rule.from_)), None)
    if rule is None:
        return list(groups)
    found = [replace(group, endpoints=()) for group in groups]
    open_places = set(range(len(groups)))
    for target, percent in rule.to.items():
        named = [index for index in open_places if groups[index].locality.matches(target)]
        open_places.difference_update(named)
        total = sum(groups[index].weight for index in named)
        for index in named:
            share = math.ceil(groups[index].weight * percent / total)
            found[index] = replace(groups[index], weight=share or groups[index].weight)
    return found


def _by_distance(
    groups: Sequence[LocalityGroup], failover: Sequence[Failover], caller: Locality
) -> list[LocalityGroup]:
    target = next((rule.to for rule in failover if rule.from_ == caller.region), None)

    def distance(group: LocalityGroup) -> int:
        found = caller.distance(group.locality)
        elsewhere = target is not None and group.locality.region != target
        return _BEYOND_FAILOVER if found == OTHER_REGION and elsewhere else found

    return _without_gaps(groups, distance)


def _by_labels(
    groups: Sequence[LocalityGroup], priorities: Sequence[str], caller: Caller
) -> list[LocalityGroup]:
    """The more of the labels, from the first on, an endpoint shares with the caller, the sooner it is asked.

    An entry `label=value` asks for that value instead of the caller's.
    """
    wanted = [_wanted(entry, caller) for entry in priorities]
    found: list[LocalityGroup] = []
    for group in groups:
        levels: dict[int, list[Endpoint]] = {}
        for endpoint in group.endpoints:
            levels.setdefault(_misses(wanted, endpoint.labels), []).append(endpoint)
        found.extend(_group(group.locality, members, level) for level, members in sorted(levels.items()))
    return _without_gaps(found, lambda group: group.priority)


def _wanted(entry: str, caller: Caller) -> tuple[str, str]:
    label, separator, value = entry.partition("=")
    return label, value if separator else caller.label(label)


def _misses(wanted: Sequence[tuple[str, str]], labels: Mapping[str, str]) -> int:
    """How many of the labels remain from the first one that differs; 0 when all are alike."""
    for index, (label, value) in enumerate(wanted):
        if labels.get(label, "") != value:
            return len(wanted) - index
    return 0


def _without_gaps(
    groups: Sequence[LocalityGroup], rank: Callable[[LocalityGroup], int]
) -> list[LocalityGroup]:
    """Ranks as priorities from 0 on: Envoy refuses an assignment that leaves one out."""
    order = {level: priority for priority, level in enumerate(sorted({rank(group) for group in groups}))}
    return [replace(group, priority=order[rank(group)]) for group in groups]
