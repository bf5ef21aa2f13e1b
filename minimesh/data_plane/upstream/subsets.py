"""Subsets of a cluster's hosts by their `envoy.lb` metadata, and who serves when no subset fits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.lb_settings import SubsetFallback, Subsets, SubsetSelector
from minimesh.data_plane.upstream.load_balancer import LoadBalancer

SubsetKey = tuple[tuple[str, object], ...]
MakeBalancer = Callable[[Sequence[Host]], LoadBalancer]


class SubsetBalancer:
    """Chooses within the subset that a request's metadata names.

    A subset exists only for sets of keys that a selector has, and only while it has hosts.
    """

    __slots__ = ("_counters", "_default", "_everybody", "_selectors", "_settings", "_subsets")

    def __init__(
        self, settings: Subsets, hosts: Sequence[Host], make: MakeBalancer, stats: StatsStore, prefix: str
    ) -> None:
        self._settings = settings
        self._selectors = {selector.keys: selector for selector in settings.selectors}
        members: dict[SubsetKey, list[Host]] = {}
        for host in hosts:
            for selector in settings.selectors:
                for key in _keys_of(host, selector, settings.list_as_any):
                    members.setdefault(key, []).append(host)
        self._subsets = {
            key: make(found[:1] if self._single_host(key) else found) for key, found in members.items()
        }
        self._everybody = make(hosts)
        self._default = self._make_default(hosts, make)
        self._counters = {
            name: stats.counter(f"{prefix}lb_subsets_{name}")
            for name in ("selected", "fallback", "fallback_panic")
        }
        stats.gauge(f"{prefix}lb_subsets_active").set(len(self._subsets))

    def choose(
        self, wanted: Mapping[str, object] | None, selection: HostSelection | None = None
    ) -> Host | None:
        """A host of the subset `wanted`, or as the fallback policy says."""
        keys = frozenset(wanted or ())
        if wanted:
            subset = self._subsets.get(_subset_key(wanted))
            if subset is not None:
                self._counters["selected"].inc()
                return subset.choose(selection)
        selector = self._selectors.get(keys)
        fallback = None if selector is None else selector.fallback
        if fallback is SubsetFallback.KEYS_SUBSET and selector is not None and wanted:
            fewer = {name: value for name, value in wanted.items() if name in selector.fallback_keys}
            return self.choose(fewer, selection)
        return self._fall_back(fallback or self._settings.fallback, selection)

    def _fall_back(self, fallback: SubsetFallback, selection: HostSelection | None) -> Host | None:
        if fallback is SubsetFallback.NO_FALLBACK:
            return self._in_panic(selection)
        self._counters["fallback"].inc()
        if fallback is SubsetFallback.ANY_ENDPOINT:
            return self._everybody.choose(selection)
        host = self._default.choose(selection)
        return self._in_panic(selection) if host is None else host

    def _in_panic(self, selection: HostSelection | None) -> Host | None:
        if not self._settings.panic_mode_any:
            return None
        self._counters["fallback_panic"].inc()
        return self._everybody.choose(selection)

    def _single_host(self, key: SubsetKey) -> bool:
        selector = self._selectors.get(frozenset(name for name, _ in key))
        return selector is not None and selector.single_host

    def _make_default(self, hosts: Sequence[Host], make: MakeBalancer) -> LoadBalancer:
        wanted = self._settings.default_subset
        return make([host for host in hosts if _has(host, wanted)])


def _keys_of(host: Host, selector: SubsetSelector, list_as_any: bool) -> list[SubsetKey]:
    """The subsets of one selector that a host belongs to: one, or several where a value is a list."""
    labels = host.metadata.get("envoy.lb", {})
    found: list[SubsetKey] = [()]
    for name in sorted(selector.keys):
        if name not in labels:
            return []
        value = labels[name]
        values = value if list_as_any and isinstance(value, list) else [value]
        found = [(*key, (name, _hashable(each))) for key in found for each in values]
    return found


def _subset_key(wanted: Mapping[str, object]) -> SubsetKey:
    return tuple((name, _hashable(wanted[name])) for name in sorted(wanted))


def _has(host: Host, wanted: Mapping[str, object]) -> bool:
    labels = host.metadata.get("envoy.lb", {})
    return all(labels.get(name) == value for name, value in wanted.items())


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else repr(value)
