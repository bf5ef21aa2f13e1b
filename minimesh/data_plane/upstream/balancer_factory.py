"""Makes the balancer of a cluster (or of a subset of it) when its hosts, their health or settings change.

        priority level (load, panic) -> locality (weights) -> algorithm -> host

Most clusters have one level, no weights of localities, and are not in panic: then the algorithm itself is the
balancer, and a request pays for nothing else.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence

from minimesh.data_plane.telemetry.stats import Counter, StatsStore
from minimesh.data_plane.upstream.consistent_hash import (
    BoundedLoad,
    CountedTable,
    HashBalancer,
    HashTable,
    Maglev,
    Ring,
    WeightedHost,
    normalized,
)
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.host_set import HostSet, priority_levels
from minimesh.data_plane.upstream.lb_settings import LoadBalancerPolicy, LoadBalancing
from minimesh.data_plane.upstream.load_balancer import (
    LeastRequest,
    LeastRequestOfAll,
    LoadBalancer,
    RandomChoice,
    RoundRobin,
    SlowStartLeastRequest,
    SlowStartRoundRobin,
    WeightedLeastRequest,
    WeightedRoundRobin,
    in_slow_start,
)
from minimesh.data_plane.upstream.priority_load import OVERPROVISIONING_FACTOR_PERCENT, PriorityLoad, spread

#: Tables of earlier sets of hosts that are kept, for health that goes to and fro.
_TABLES_KEPT = 4


class BalancerFactory:
    """See the module. One for each cluster."""

    __slots__ = (
        "_active_requests",
        "_clock",
        "_panics",
        "_prefix",
        "_random",
        "_settings",
        "_stats",
        "_tables",
    )

    def __init__(
        self,
        settings: LoadBalancing,
        source: random.Random,
        clock: Callable[[], float],
        active_requests: Callable[[], int],
        stats: StatsStore,
        prefix: str,
    ) -> None:
        self._settings = settings
        self._random = source
        self._clock = clock
        self._active_requests = active_requests
        self._panics = stats.counter(f"{prefix}lb_healthy_panic")
        self._stats = stats
        self._prefix = prefix
        self._tables: dict[tuple[WeightedHost, ...], CountedTable] = {}

    def make(
        self, hosts: Sequence[Host], factor_percent: int = OVERPROVISIONING_FACTOR_PERCENT
    ) -> LoadBalancer:
        """The balancer over these hosts."""
        if self._settings.policy is LoadBalancerPolicy.CLUSTER_PROVIDED:
            # Whoever has no destination of its own has none here.
            return RandomChoice((), self._random)
        levels = priority_levels(hosts)
        found = spread(
            [level.numbers for level in levels], self._settings.panic_threshold_percent, factor_percent
        )
        if len(levels) == 1 and not found.panic[0] and not found.load.degraded[0]:
            return self._over(levels[0], levels[0].healthy, factor_percent)
        balancers = [
            self._of_level(level, panic, factor_percent)
            for level, panic in zip(levels, found.panic, strict=True)
        ]
        if len(levels) == 1 and found.panic[0]:
            return balancers[0][0]
        return ByPriority(balancers, found.load, self._random)

    def _of_level(
        self, level: HostSet, panic: bool, factor_percent: int
    ) -> tuple[LoadBalancer, LoadBalancer]:
        """(for healthy, for degraded hosts); in panic both are all of them."""
        if panic:
            all_hosts = () if self._settings.fail_traffic_on_panic else level.hosts
            in_panic = InPanic(self._over(level, all_hosts, factor_percent), self._panics)
            return in_panic, in_panic
        healthy = self._over(level, level.healthy, factor_percent)
        # Hash tables hold the healthy hosts, whichever are asked for.
        by_hash = self._settings.policy.by_hash
        return healthy, healthy if by_hash else self._over(level, level.degraded, factor_percent)

    def _over(self, level: HostSet, hosts: Sequence[Host], factor_percent: int) -> LoadBalancer:
        """The balancer over some of a level's hosts."""
        weighted = (
            self._weighted_localities(level, hosts, factor_percent)
            if self._settings.locality_weighted and len(hosts) > 0
            else []
        )
        if self._settings.policy.by_hash:
            return self._by_hash(hosts, weighted)
        if len(weighted) > 1:
            choices = [(weight, self._algorithm(members)) for weight, members in weighted]
            return ByLocality(choices, self._random)
        return self._algorithm(weighted[0][1] if weighted else hosts)

    def _weighted_localities(
        self, level: HostSet, hosts: Sequence[Host], factor_percent: int
    ) -> list[tuple[float, list[Host]]]:
        """(effective weight, hosts) of the localities that get traffic; empty when none has a weight."""
        chosen = set(hosts)
        everybody = len(hosts) == len(level.hosts)
        found = []
        for locality in level.by_locality():
            members = [host for host in locality.hosts if host in chosen]
            counted = len(locality.hosts) - (0 if everybody else locality.excluded)
            weight = locality.hosts[0].spec.locality_weight
            if members and weight and counted:
                available = min(1.0, factor_percent / 100.0 * len(members) / counted)
                found.append((weight * available, members))
        return found

    def _by_hash(
        self, hosts: Sequence[Host], weighted: Sequence[tuple[float, Sequence[Host]]]
    ) -> LoadBalancer:
        if not hosts:
            return RandomChoice((), self._random)
        if weighted:
            total = sum(members[0].spec.locality_weight for _, members in weighted)
            shares = [
                share
                for _, members in weighted
                for share in normalized(members, members[0].spec.locality_weight / total)
            ]
        else:
            shares = normalized(hosts)
        hashing = self._settings.hashing
        table: HashTable = self._table(tuple(shares))
        if hashing.balance_factor_percent:
            table = BoundedLoad(table, shares, hashing.balance_factor_percent, self._active_requests)
        return HashBalancer(table, self._random)

    def _table(self, members: tuple[WeightedHost, ...]) -> CountedTable:
        table = self._tables.pop(members, None)
        if table is None:
            kind = Maglev if self._settings.policy is LoadBalancerPolicy.MAGLEV else Ring
            table = kind(members, self._settings.hashing)
            for name, value in table.gauges().items():
                self._stats.gauge(self._prefix + name).set(value)
        self._tables[members] = table
        if len(self._tables) > _TABLES_KEPT:
            del self._tables[next(iter(self._tables))]
        return table

    def _algorithm(self, hosts: Sequence[Host]) -> LoadBalancer:
        settings, source = self._settings, self._random
        policy = settings.policy
        if policy is LoadBalancerPolicy.RANDOM or len(hosts) < 2:
            return RandomChoice(hosts, source)
        least_request = policy is LoadBalancerPolicy.LEAST_REQUEST
        slow_start = settings.slow_start
        if slow_start is not None and any(in_slow_start(host, slow_start, self._clock()) for host in hosts):
            if least_request:
                bias = settings.active_request_bias
                return SlowStartLeastRequest(hosts, source, bias, slow_start, self._clock)
            return SlowStartRoundRobin(hosts, source, slow_start, self._clock)
        equal_weights = len({host.weight for host in hosts}) == 1
        if least_request:
            if not equal_weights:
                return WeightedLeastRequest(hosts, source, settings.active_request_bias)
            if settings.full_scan:
                return LeastRequestOfAll(hosts, source)
            return LeastRequest(hosts, source, settings.choice_count)
        return RoundRobin(hosts, source) if equal_weights else WeightedRoundRobin(hosts, source)


class InPanic:
    """All hosts of a level of which too few are healthy; counts the choices."""

    __slots__ = ("_balancer", "_panics")

    def __init__(self, balancer: LoadBalancer, panics: Counter) -> None:
        self._balancer = balancer
        self._panics = panics

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        self._panics.inc()
        return self._balancer.choose(selection)


class ByPriority:
    """A level by chance (or by the request's hash) in proportion to its load, then a host of it."""

    __slots__ = ("_levels", "_load", "_random")

    def __init__(
        self,
        levels: Sequence[tuple[LoadBalancer, LoadBalancer]],
        load: PriorityLoad,
        source: random.Random,
    ) -> None:
        self._levels = levels
        self._load = load
        self._random = source

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        load, number = self._load, None
        if selection is not None:
            load, number = selection.priority_load or load, selection.hash_key
        level, degraded = load.choose(self._random.getrandbits(64) if number is None else number)
        return self._levels[level][degraded].choose(selection)


class ByLocality:
    """Localities in turn by effective weight (earliest deadline first), then a host of the one chosen."""

    __slots__ = ("_order", "_queue")

    def __init__(self, localities: Sequence[tuple[float, LoadBalancer]], source: random.Random) -> None:
        self._order = len(localities)
        self._queue = [
            # Begun at a random moment, so that many proxies do not march in step.
            (source.random() / weight, index, weight, balancer)
            for index, (weight, balancer) in enumerate(localities)
        ]
        heapq.heapify(self._queue)

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        deadline, _, weight, balancer = self._queue[0]
        self._order += 1
        heapq.heapreplace(self._queue, (deadline + 1.0 / weight, self._order, weight, balancer))
        return balancer.choose(selection)
