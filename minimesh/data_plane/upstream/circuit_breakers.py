"""The limits of one cluster and how much of each is used: Envoy's circuit breakers, for one route priority.

A request only counts up and down; whether a breaker is open is worked out when somebody reads the gauge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
    from minimesh.data_plane.upstream.cluster_stats import ClusterStats


_NO_LIMIT = 2**64 - 1


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """Retries as a share of what is under way, in place of a fixed number."""

    budget_percent: float = 20.0
    min_retry_concurrency: int = 3


@dataclass(frozen=True, slots=True)
class CircuitBreakers:
    """Limits of one cluster at one priority; the defaults are Envoy's."""

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    retry_budget: RetryBudget | None = None
    track_remaining: bool = False
    max_connections_per_host: int = 0
    """0: no limit."""


DEFAULT_LIMITS = CircuitBreakers()


class ClusterResources:
    """What all pools of one cluster and priority share: settings, counters, what is used of each limit."""

    __slots__ = ("connections", "limits", "pending", "requests", "retries", "settings", "stats")

    def __init__(
        self, settings: ClusterSettings, stats: ClusterStats, *, high_priority: bool = False
    ) -> None:
        self.stats = stats
        self.connections = 0
        self.pending = 0
        self.requests = 0
        self.retries = 0
        self.update(settings, high_priority=high_priority)
        self._offer_gauges("high" if high_priority else "default")

    def update(self, settings: ClusterSettings, *, high_priority: bool = False) -> None:
        """Take over new settings; what is under way counts on."""
        self.settings = settings
        self.limits = settings.high_circuit_breakers if high_priority else settings.circuit_breakers

    @property
    def max_retries(self) -> int:
        """How many retries may be under way now."""
        limits = self.limits
        budget = limits.retry_budget
        if budget is None:
            return limits.max_retries
        share = int(budget.budget_percent * (self.requests + self.pending) / 100.0)
        return max(share, budget.min_retry_concurrency)

    def _offer_gauges(self, priority: str) -> None:
        limits: dict[str, tuple[str, Callable[[], tuple[int, int]]]] = {
            "cx_open": ("remaining_cx", lambda: (self.connections, self.limits.max_connections)),
            "rq_pending_open": (
                "remaining_pending",
                lambda: (self.pending, self.limits.max_pending_requests),
            ),
            "rq_open": ("remaining_rq", lambda: (self.requests, self.limits.max_requests)),
            "rq_retry_open": ("remaining_retries", lambda: (self.retries, self.max_retries)),
        }
        store, prefix = self.stats.store, f"{self.stats.prefix}circuit_breakers.{priority}."
        for name, (remaining, read) in limits.items():
            store.computed_gauge(prefix + name, partial(_is_used_up, read))
            if self.limits.track_remaining:
                store.computed_gauge(prefix + remaining, partial(_remaining, read))
        store.gauge(prefix + "cx_pool_open").set(0)
        if self.limits.track_remaining:
            store.gauge(prefix + "remaining_cx_pools").set(_NO_LIMIT)


def _remaining(read: Callable[[], tuple[int, int]]) -> int:
    used, limit = read()
    return max(0, limit - used)


def _is_used_up(read: Callable[[], tuple[int, int]]) -> int:
    used, limit = read()
    return int(used >= limit)
