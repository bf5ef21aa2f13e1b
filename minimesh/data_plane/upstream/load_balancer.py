"""The choice of a host: pure, given hosts and a source of random numbers.

Which hosts take part is worked out when hosts or their health change (`usable_hosts`), not per request.
Algorithms and their details are Envoy's: two random choices for LEAST_REQUEST, earliest deadline first for
weights, and all hosts when too few are healthy (panic).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from typing import Protocol

from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, LoadBalancerPolicy
from minimesh.data_plane.upstream.host import Health, Host


class LoadBalancer(Protocol):
    """Chooses one of the hosts it was made with."""

    def choose(self) -> Host | None:
        """A host, or None when there are none."""


class Usable:
    """The hosts that take part, and whether that is so in panic."""

    __slots__ = ("hosts", "panic")

    def __init__(self, hosts: Sequence[Host], panic: bool) -> None:
        self.hosts = hosts
        self.panic = panic


def usable_hosts(hosts: Sequence[Host], panic_threshold_percent: float) -> Usable:
    """The healthy hosts of the first priority that has any; all its hosts when fewer are healthy than the
    panic threshold (default 50 %) allows. Degraded hosts serve only where none is healthy.
    """
    levels: dict[int, list[Host]] = {}
    for host in hosts:
        levels.setdefault(host.spec.priority, []).append(host)
    for wanted in (Health.HEALTHY, Health.DEGRADED):
        for _, level in sorted(levels.items()):
            fit = [host for host in level if host.health is wanted]
            if fit and 100.0 * _alive(level) / len(level) >= panic_threshold_percent:
                return Usable(fit, panic=False)
    if not levels:
        return Usable((), panic=False)
    first = levels[min(levels)]
    if panic_threshold_percent <= 0:
        return Usable([host for host in first if host.health is not Health.UNHEALTHY], panic=False)
    return Usable(first, panic=True)


def _alive(level: Sequence[Host]) -> int:
    return sum(host.health is not Health.UNHEALTHY for host in level)


def make_load_balancer(
    settings: ClusterSettings, hosts: Sequence[Host], source: random.Random
) -> LoadBalancer:
    """The balancer that a cluster's settings ask for, over these hosts."""
    policy = settings.lb_policy
    if policy is LoadBalancerPolicy.RANDOM or len(hosts) < 2:
        return RandomChoice(hosts, source)
    equal_weights = len({host.weight for host in hosts}) == 1
    if policy is LoadBalancerPolicy.LEAST_REQUEST:
        if equal_weights:
            return LeastRequest(hosts, source, settings.choice_count)
        return WeightedLeastRequest(hosts, source, settings.active_request_bias)
    if equal_weights:
        return RoundRobin(hosts, source)
    return WeightedRoundRobin(hosts, source)


class RandomChoice:
    """Any host, weights ignored."""

    __slots__ = ("_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], source: random.Random) -> None:
        self._hosts = hosts
        self._random = source.random

    def choose(self) -> Host | None:
        hosts = self._hosts
        if len(hosts) == 1:
            return hosts[0]
        return hosts[int(self._random() * len(hosts))] if hosts else None


class RoundRobin:
    """One after the other, begun at a random place so that many proxies do not march in step."""

    __slots__ = ("_hosts", "_next")

    def __init__(self, hosts: Sequence[Host], source: random.Random) -> None:
        self._hosts = hosts
        self._next = source.randrange(len(hosts)) if hosts else 0

    def choose(self) -> Host | None:
        hosts = self._hosts
        if not hosts:
            return None
        index = self._next
        self._next = index + 1 if index + 1 < len(hosts) else 0
        return hosts[index]


class LeastRequest:
    """The least busy of a few random hosts."""

    __slots__ = ("_choices", "_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], source: random.Random, choice_count: int) -> None:
        self._hosts = hosts
        self._random = source.random
        self._choices = max(1, choice_count) - 1

    def choose(self) -> Host | None:
        hosts = self._hosts
        if not hosts:
            return None
        draw = self._random
        best = hosts[int(draw() * len(hosts))]
        for _ in range(self._choices):
            other = hosts[int(draw() * len(hosts))]
            if other.active_requests < best.active_requests:
                best = other
        return best


class _EarliestDeadline:
    """Each host comes round at intervals inverse to its weight, as read when it was last chosen."""

    __slots__ = ("_now", "_order", "_queue")

    def __init__(self, hosts: Sequence[Host], source: random.Random) -> None:
        self._now = 0.0
        self._order = len(hosts)
        self._queue = [(1.0 / self.weight(host), index, host) for index, host in enumerate(hosts)]
        heapq.heapify(self._queue)
        total = sum(host.weight for host in hosts)
        for _ in range(source.randrange(max(1, min(total, 1000)))):
            self.choose()

    def weight(self, host: Host) -> float:
        return host.weight

    def choose(self) -> Host | None:
        if not self._queue:
            return None
        deadline, _, host = self._queue[0]
        self._now = deadline
        self._order += 1
        heapq.heapreplace(self._queue, (deadline + 1.0 / self.weight(host), self._order, host))
        return host


class WeightedRoundRobin(_EarliestDeadline):
    """Round robin with unequal weights."""

    __slots__ = ()


class WeightedLeastRequest(_EarliestDeadline):
    """Least request with unequal weights: weight shrinks with the requests in flight."""

    __slots__ = ("_bias",)

    def __init__(self, hosts: Sequence[Host], source: random.Random, bias: float) -> None:
        self._bias = bias
        super().__init__(hosts, source)

    def weight(self, host: Host) -> float:
        if self._bias == 1.0:
            return host.weight / (host.active_requests + 1)
        return float(host.weight / (host.active_requests + 1) ** self._bias)
