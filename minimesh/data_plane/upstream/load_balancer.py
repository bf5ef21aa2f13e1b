"""The choice among hosts that all take part: pure, given hosts and a source of random numbers.

Which hosts these are is worked out elsewhere (`balancer_factory`), when hosts or their health change, not per
request. Algorithms and their details are Envoy's: two random choices for LEAST_REQUEST, earliest deadline
first for weights, a weight that grows while a host is new (slow start).
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from minimesh.data_plane.upstream.host import Health, Host
from minimesh.data_plane.upstream.host_selection import HostSelection
from minimesh.data_plane.upstream.lb_settings import SlowStart


class LoadBalancer(Protocol):
    """Chooses one of the hosts it was made with."""

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        """A host, or None when there are none."""


class RandomChoice:
    """Any host, weights ignored."""

    __slots__ = ("_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], source: random.Random) -> None:
        self._hosts = hosts
        self._random = source.random

    def choose(self, selection: HostSelection | None = None) -> Host | None:
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

    def choose(self, selection: HostSelection | None = None) -> Host | None:
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

    def choose(self, selection: HostSelection | None = None) -> Host | None:
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


class LeastRequestOfAll:
    """The least busy of all hosts; among equals, any."""

    __slots__ = ("_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], source: random.Random) -> None:
        self._hosts = hosts
        self._random = source

    def choose(self, selection: HostSelection | None = None) -> Host | None:
        if not self._hosts:
            return None
        least = min(host.active_requests for host in self._hosts)
        return self._random.choice([host for host in self._hosts if host.active_requests == least])


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

    def choose(self, selection: HostSelection | None = None) -> Host | None:
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


class SlowStartRoundRobin(WeightedRoundRobin):
    """Round robin while there are hosts that have just become healthy."""

    __slots__ = ("_clock", "_slow_start")

    def __init__(
        self, hosts: Sequence[Host], source: random.Random, slow_start: SlowStart, clock: Callable[[], float]
    ) -> None:
        self._slow_start, self._clock = slow_start, clock
        super().__init__(hosts, source)

    def weight(self, host: Host) -> float:
        return host.weight * slow_start_factor(host, self._slow_start, self._clock())


class SlowStartLeastRequest(WeightedLeastRequest):
    """Least request while there are hosts that have just become healthy."""

    __slots__ = ("_clock", "_slow_start")

    def __init__(
        self,
        hosts: Sequence[Host],
        source: random.Random,
        bias: float,
        slow_start: SlowStart,
        clock: Callable[[], float],
    ) -> None:
        self._slow_start, self._clock = slow_start, clock
        super().__init__(hosts, source, bias)

    def weight(self, host: Host) -> float:
        return super().weight(host) * slow_start_factor(host, self._slow_start, self._clock())


def in_slow_start(host: Host, slow_start: SlowStart, now: float) -> bool:
    """Whether the host has been healthy for less than the window."""
    return host.health is Health.HEALTHY and now - host.healthy_since < slow_start.window_s


def slow_start_factor(host: Host, slow_start: SlowStart, now: float) -> float:
    """What a host's weight is multiplied with: grows from the least share to 1 over the window."""
    if not in_slow_start(host, slow_start, now):
        return 1.0
    passed = max(0.001, now - host.healthy_since) / slow_start.window_s
    grown = passed if slow_start.aggression == 1.0 else passed ** (1.0 / slow_start.aggression)
    return float(max(grown, slow_start.min_weight_percent / 100.0))
