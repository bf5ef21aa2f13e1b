"""A live cluster: its hosts, the balancer over them, and their pools.

The object lives on across updates (`update_settings`, `update_hosts`); hosts that stay keep their `Host`
object, their connections and counters.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.cluster_settings import (
    CircuitBreakers,
    ClusterSettings,
    Connect,
    Discovery,
    LoadBalancerPolicy,
)
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.connection_pool import ClusterResources, ConnectionPool
from minimesh.data_plane.upstream.host import Health, Host, HostSpec
from minimesh.data_plane.upstream.load_balancer import LoadBalancer, make_load_balancer, usable_hosts

__all__ = [
    "CircuitBreakers",
    "Cluster",
    "ClusterSettings",
    "Connect",
    "Discovery",
    "Health",
    "HostSpec",
    "LoadBalancerPolicy",
]

_NO_HOSTS: tuple[Host, ...] = ()


class Cluster:
    """See the module. `hosts` is replaced whole, never changed in place."""

    __slots__ = (
        "_balancer",
        "_host_by_address",
        "_in_panic",
        "_random",
        "_subsets",
        "hosts",
        "name",
        "resources",
        "settings",
        "stats",
    )

    def __init__(
        self, settings: ClusterSettings, stats: StatsStore, source: random.Random | None = None
    ) -> None:
        self.name = settings.name
        self.settings = settings
        self.stats = ClusterStats(stats, settings.alt_stat_name or settings.name)
        self.resources = ClusterResources(settings, self.stats)
        self.hosts: Sequence[Host] = _NO_HOSTS
        # Not for secrets: which host gets a request is no secret.
        self._random = source or random.Random()
        self._host_by_address: dict[tuple[str, int], Host] = {}
        self._subsets: dict[tuple[tuple[str, object], ...], LoadBalancer] = {}
        self._in_panic = False
        self._balancer: LoadBalancer = make_load_balancer(settings, _NO_HOSTS, self._random)

    # --- told by configuration ---

    def update_settings(self, settings: ClusterSettings) -> None:
        """Take over new settings. Connections that depend on changed ones close when they are done."""
        old = self.settings
        self.settings = self.resources.settings = settings
        if old.source_address != settings.source_address or old.connect is not settings.connect:
            for host in self.hosts:
                self._retire_pool(host)
        self.rebalance()

    def update_hosts(self, specs: Iterable[HostSpec]) -> None:
        """The complete new list of endpoints; those already known by address and port live on."""
        known = self._host_by_address
        current: dict[tuple[str, int], Host] = {}
        for spec in specs:
            key = (spec.address, spec.port)
            host = known.get(key)
            if host is None:
                host = Host(spec)
            else:
                host.update(spec)
            current[key] = host
        if known.keys() != current.keys():
            self.stats.membership_change.inc()
        self._host_by_address = current
        self.hosts = tuple(current.values())
        self.rebalance()
        for key, host in known.items():
            if key not in current:
                self._retire_pool(host)

    def rebalance(self) -> None:
        """Work out anew who takes part: hosts, weights or health have changed."""
        usable = usable_hosts(self.hosts, self.settings.panic_threshold_percent)
        self._in_panic = usable.panic
        self._balancer = make_load_balancer(self.settings, usable.hosts, self._random)
        self._subsets.clear()
        self.stats.membership_total.set(len(self.hosts))
        self.stats.membership_healthy.set(sum(host.health is Health.HEALTHY for host in self.hosts))

    def close(self) -> None:
        """The cluster is gone: nothing new; what is under way finishes."""
        self.update_hosts(())

    # --- asked by requests ---

    def choose_host(self, metadata_match: Mapping[str, object] | None = None) -> Host | None:
        """A host for one request, or None when there is none (UH)."""
        if self._in_panic:
            self.stats.panic.inc()
        if metadata_match:
            return self._subset(metadata_match).choose()
        return self._balancer.choose()

    def choose_untried_host(
        self, tried: Sequence[Host], attempts: int, metadata_match: Mapping[str, object] | None = None
    ) -> Host | None:
        """A host for a retry, drawn anew up to `attempts` times while it is one of `tried`."""
        host = self.choose_host(metadata_match)
        while attempts > 0 and host in tried:
            host = self.choose_host(metadata_match)
            attempts -= 1
        return host

    def original_destination(self, address: str, port: int) -> Host:
        """ORIGINAL_DST: the host for an address that the caller meant, made when first asked for."""
        key = (address, port)
        host = self._host_by_address.get(key)
        if host is None:
            host = self._host_by_address[key] = Host(HostSpec(address, port))
            self.hosts = tuple(self._host_by_address.values())
        return host

    def pool_of(self, host: Host) -> ConnectionPool:
        """The pool of connections to one of this cluster's hosts."""
        pool = host.pool
        if pool is None:
            pool = host.pool = ConnectionPool(host, self.resources)
        return pool

    # --- within ---

    def _retire_pool(self, host: Host) -> None:
        if host.pool is not None:
            host.pool.drain()
            host.pool = None

    def _subset(self, wanted: Mapping[str, object]) -> LoadBalancer:
        key = tuple(sorted((name, _hashable(value)) for name, value in wanted.items()))
        balancer = self._subsets.get(key)
        if balancer is None:
            members = [host for host in self.hosts if _has_metadata(host, wanted)]
            usable = usable_hosts(members, self.settings.panic_threshold_percent)
            balancer = make_load_balancer(self.settings, usable.hosts, self._random)
            self._subsets[key] = balancer
        return balancer

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, {len(self.hosts)} hosts)"


def _has_metadata(host: Host, wanted: Mapping[str, object]) -> bool:
    labels = host.metadata.get("envoy.lb", {})
    return all(labels.get(name) == value for name, value in wanted.items())


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else repr(value)
