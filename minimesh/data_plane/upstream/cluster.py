"""A live cluster: its hosts, the balancer over them, their pools, and what watches their health.

The object lives on across updates (`update_settings`, `update_hosts`); hosts that stay keep their `Host`
object, their connections and counters.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.balancer_factory import BalancerFactory
from minimesh.data_plane.upstream.circuit_breakers import CircuitBreakers, ClusterResources
from minimesh.data_plane.upstream.cluster_settings import (
    ClusterSettings,
    Connect,
    Discovery,
    UpstreamProtocol,
)
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.connection_pool import ConnectionPool, Pool
from minimesh.data_plane.upstream.health_checker import Cancellable, Timers
from minimesh.data_plane.upstream.health_watch import HealthWatch
from minimesh.data_plane.upstream.host import Health, HealthFlag, Host, HostSpec
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.host_set import priority_levels
from minimesh.data_plane.upstream.lb_settings import LoadBalancerPolicy, LoadBalancing
from minimesh.data_plane.upstream.load_balancer import LoadBalancer
from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedPool
from minimesh.data_plane.upstream.negotiated_pool import NegotiatedPool
from minimesh.data_plane.upstream.priority_load import (
    OVERPROVISIONING_FACTOR_PERCENT,
    PriorityLoad,
    availability,
    load_after,
)
from minimesh.data_plane.upstream.subsets import SubsetBalancer

__all__ = [
    "CircuitBreakers",
    "Cluster",
    "ClusterSettings",
    "Connect",
    "Discovery",
    "Health",
    "HostSpec",
    "LoadBalancerPolicy",
    "LoadBalancing",
]

_POOLS: Mapping[UpstreamProtocol, Callable[[Host, ClusterResources], Pool]] = {
    UpstreamProtocol.HTTP2: MultiplexedPool,
    UpstreamProtocol.BY_ALPN: NegotiatedPool,
}
_NO_HOSTS: tuple[Host, ...] = ()

#: Pools by server name of one host.
_MOST_NAMED_POOLS = 256


class Cluster:
    """See the module. `hosts` is replaced whole, never changed in place."""

    __slots__ = (
        "_balancer",
        "_cleanup",
        "_clock",
        "_factor_percent",
        "_factory",
        "_host_by_address",
        "_random",
        "_subsets",
        "_timers",
        "as_downstream",
        "auto_sni",
        "by_destination",
        "by_hash",
        "by_request",
        "health",
        "high_priority_resources",
        "hosts",
        "is_watched",
        "name",
        "resources",
        "settings",
        "stats",
    )

    def __init__(
        self,
        settings: ClusterSettings,
        stats: StatsStore,
        source: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
        timers: Timers | None = None,
    ) -> None:
        self.name = settings.name
        self.settings = settings
        self.stats = ClusterStats(stats, settings.alt_stat_name or settings.name)
        self.resources = ClusterResources(settings, self.stats)
        self.high_priority_resources = ClusterResources(settings, self.stats, high_priority=True)
        self.hosts: Sequence[Host] = _NO_HOSTS
        # Not for secrets: which host gets a request is no secret.
        self._random = source or random.Random()
        self._clock = clock
        self._host_by_address: dict[tuple[str, int], Host] = {}
        self._factor_percent = OVERPROVISIONING_FACTOR_PERCENT
        self.health = HealthWatch(self.stats, timers, clock, self._random, self._on_health_changed)
        self._subsets: SubsetBalancer | None = None
        self._balancer: LoadBalancer
        self._factory = self._new_factory()
        #: Hosts are spoken to in the protocol of the request: `http2_pool_of` for those that came by HTTP/2.
        self.as_downstream = settings.protocol is UpstreamProtocol.AS_DOWNSTREAM
        self.auto_sni = settings.auto_sni
        self._timers = timers
        self._cleanup: Cancellable | None = None
        self._note_kind()
        self.rebalance()
        self.health.update(settings, _NO_HOSTS)

    # --- told by configuration ---

    def update_settings(self, settings: ClusterSettings) -> None:
        """Take over new settings. Connections that depend on changed ones close when they are done."""
        old, self.settings = self.settings, settings
        self.resources.update(settings)
        self.high_priority_resources.update(settings, high_priority=True)
        if _connects_otherwise(old, settings):
            for host in self.hosts:
                self._retire_pools(host)
        self.as_downstream = settings.protocol is UpstreamProtocol.AS_DOWNSTREAM
        self.auto_sni = settings.auto_sni
        if old.load_balancing != settings.load_balancing:
            self._factory = self._new_factory()
        self._note_kind()
        self.health.update(settings, self.hosts)
        self.rebalance()

    def update_hosts(
        self, specs: Iterable[HostSpec], factor_percent: int = OVERPROVISIONING_FACTOR_PERCENT
    ) -> None:
        """The complete new list of endpoints; those already known by address and port live on."""
        known = self._host_by_address
        current: dict[tuple[str, int], Host] = {}
        for spec in specs:
            key = (spec.address, spec.port)
            host = known.get(key)
            if host is None:
                host = Host(spec)
                host.healthy_since = self._clock()
                self.health.admit(host)
            else:
                host.update(spec)
                host.clear_flag(HealthFlag.PENDING_DYNAMIC_REMOVAL)
            current[key] = host
        for key, host in known.items():
            if key not in current and self._outlives_removal(host):
                host.set_flag(HealthFlag.PENDING_DYNAMIC_REMOVAL)
                current[key] = host
        if known.keys() != current.keys():
            self.stats.membership_change.inc()
        self._host_by_address = current
        self._factor_percent = factor_percent
        self.hosts = tuple(current.values())
        self.health.watch(self.hosts)
        self.rebalance()
        for key, host in known.items():
            if key not in current:
                self._retire_pools(host)

    def rebalance(self) -> None:
        """Work out anew who takes part: hosts, weights or health have changed."""
        hosts, factor_percent = self.hosts, self._factor_percent
        self._balancer = self._factory.make(hosts, factor_percent)
        subsets, stats = self.settings.load_balancing.subsets, self.stats
        if subsets is None:
            self._subsets = None
        else:
            self._subsets = SubsetBalancer(
                subsets,
                hosts,
                lambda members: self._factory.make(members, factor_percent),
                stats.store,
                stats.prefix,
            )
        stats.membership_total.set(len(hosts))
        counted = [host for host in hosts if not host.excluded]
        stats.membership_excluded.set(len(hosts) - len(counted))
        stats.membership_healthy.set(sum(host.health is Health.HEALTHY for host in counted))
        stats.membership_degraded.set(sum(host.health is Health.DEGRADED for host in counted))

    def close(self) -> None:
        """The cluster is gone: nothing new; what is under way finishes."""
        self.health.close()
        self.update_hosts(())

    # --- asked by requests ---

    def choose_host(
        self, metadata_match: Mapping[str, object] | None = None, selection: HostSelection | None = None
    ) -> Host | None:
        """A host for one request, or None when there is none (UH)."""
        if self._subsets is not None:
            return self._subsets.choose(metadata_match, selection)
        return self._balancer.choose(selection)

    def choose_acceptable_host(
        self,
        accepts: Callable[[Host], bool],
        attempts: int,
        metadata_match: Mapping[str, object] | None = None,
        selection: HostSelection | None = None,
    ) -> Host | None:
        """A host for a retry, drawn anew up to `attempts` times while it is not accepted."""
        host = self.choose_host(metadata_match, selection)
        while attempts > 0 and host is not None and not accepts(host):
            if selection is not None:
                selection.attempt += 1
            host = self.choose_host(metadata_match, selection)
            attempts -= 1
        return host

    def load_without(self, tried: Sequence[Host], update_frequency: int) -> PriorityLoad | None:
        """The load of priorities for a retry that stays away from those tried; None: as for all requests."""
        numbers = [level.numbers for level in priority_levels(self.hosts)]
        priorities = [host.spec.priority for host in tried]
        return load_after(availability(numbers, self._factor_percent), priorities, update_frequency)

    def original_destination(self, address: str, port: int) -> Host:
        """ORIGINAL_DST: the host for an address that the caller meant, made when first asked for."""
        key = (address, self.settings.load_balancing.original_dst_port or port)
        host = self._host_by_address.get(key)
        if host is None:
            host = Host(HostSpec(*key))
            # Envoy names such hosts so.
            host.update(replace(host.spec, hostname=f"{self.name}{host.name}"))
            self._host_by_address[key] = host
            self._membership_changed()
            self._clean_up_later()
        return host

    def pool_of(self, host: Host) -> Pool:
        """The pool of connections to one of this cluster's hosts."""
        pool = host.pool
        if pool is None:
            kind = _POOLS.get(self.settings.protocol, ConnectionPool)
            pool = host.pool = kind(host, self.resources)
        return pool

    def http2_pool_of(self, host: Host) -> Pool:
        """The pool for requests that came by HTTP/2, where `as_downstream`."""
        pool = host.http2_pool
        if pool is None:
            pool = host.http2_pool = MultiplexedPool(host, self.resources)
        return pool

    def named_pool_of(self, host: Host, server_name: str, *, http2: bool) -> Pool:
        """`auto_sni`: a connection serves only requests for the server name that it was opened with."""
        pools, http2 = host.named_pools, http2 and self.as_downstream
        pool = pools.get((server_name, http2))
        if pool is None:
            if len(pools) >= _MOST_NAMED_POOLS:  # names are the client's to choose
                for old in pools.values():
                    old.drain()
                pools.clear()
            kind = MultiplexedPool if http2 else _POOLS.get(self.settings.protocol, ConnectionPool)
            pool = pools[server_name, http2] = kind(host, self.resources)
            pool.name_server(server_name)
        return pool

    def high_priority_pool_of(self, host: Host, *, http2: bool) -> Pool:
        """The pool for requests of routes with priority HIGH; `http2`: they came by HTTP/2."""
        pools, http2 = host.high_priority_pools, http2 and self.as_downstream
        pool = pools.get(http2)
        if pool is None:
            kind = MultiplexedPool if http2 else _POOLS.get(self.settings.protocol, ConnectionPool)
            pool = pools[http2] = kind(host, self.high_priority_resources)
        return pool

    # --- told by whoever watches health ---

    def _on_health_changed(self, host: Host) -> None:
        """A host's flags have changed: it takes part, or no longer does."""
        if host.health is Health.UNHEALTHY:
            self._retire_pools(host)
            for connection in list(host.tcp_connections):
                connection.close_now()
            if host.flags & HealthFlag.PENDING_DYNAMIC_REMOVAL and not self._outlives_removal(host):
                self._host_by_address.pop((host.address, host.port), None)
                self._membership_changed()
        self.rebalance()

    def _membership_changed(self) -> None:
        self.hosts = tuple(self._host_by_address.values())
        self.stats.membership_change.inc()
        self.health.watch(self.hosts)
        self.rebalance()

    def _clean_up_later(self) -> None:
        if self._cleanup is None and self._timers is not None:
            self._cleanup = self._timers.call_after(self.settings.cleanup_interval_s, self._clean_up)

    def _clean_up(self) -> None:
        """Forget destinations that nobody has a connection to."""
        self._cleanup = None
        unused = [host for host in self.hosts if not (host.active_connections or host.active_requests)]
        for host in unused:
            del self._host_by_address[host.address, host.port]
            self._retire_pools(host)
        if unused:
            self._membership_changed()
        if self.hosts:
            self._clean_up_later()

    def _outlives_removal(self, host: Host) -> bool:
        """Whether a host that configuration no longer names stays, because checks still find it healthy."""
        checker = self.health.checker
        return (
            checker is not None
            and not self.settings.ignore_health_on_host_removal
            and not host.spec.health_check_disabled
            and not host.flags & HealthFlag.FAILED_ACTIVE_HC
        )

    # --- within ---

    def _note_kind(self) -> None:
        """What requests need to know before they ask for a host."""
        settings = self.settings
        #: The choice of a host goes by the hash of the request, or by where its connection was going.
        self.by_hash = settings.load_balancing.policy.by_hash
        self.by_destination = settings.discovery is Discovery.ORIGINAL_DST
        self.by_request = self.by_hash or self.by_destination
        #: Somebody wants to know how each exchange with a host ends.
        self.is_watched = settings.outlier_detection is not None or settings.health_check is not None

    def _new_factory(self) -> BalancerFactory:
        stats = self.stats
        active = stats.rq_active
        return BalancerFactory(
            self.settings.load_balancing,
            self._random,
            self._clock,
            lambda: active.value,
            stats.store,
            stats.prefix,
        )

    def _retire_pools(self, host: Host) -> None:
        keyed = (*host.high_priority_pools.values(), *host.named_pools.values())
        for pool in (host.pool, host.http2_pool, *keyed):
            if pool is not None:
                pool.drain()
        host.pool = host.http2_pool = None
        host.high_priority_pools = {}
        host.named_pools = {}

    def __repr__(self) -> str:
        return f"Cluster({self.name!r}, {len(self.hosts)} hosts)"


def _connects_otherwise(old: ClusterSettings, new: ClusterSettings) -> bool:
    """Whether connections made so far no longer are as new ones would be."""
    return (
        old.source_address != new.source_address
        or old.connect is not new.connect
        or old.connect_http2 is not new.connect_http2
        or old.protocol is not new.protocol
        or old.http2_options != new.http2_options
        or old.transport_sockets != new.transport_sockets
        or old.auto_sni != new.auto_sni
    )
