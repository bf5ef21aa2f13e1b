"""CircuitBreakers -> `upstream.circuit_breakers` settings of one priority."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.upstream.circuit_breakers import CircuitBreakers, RetryBudget

_DEFAULTS = CircuitBreakers()


def compile_circuit_breakers(cluster: Any, priority: int) -> CircuitBreakers:
    """The thresholds of a Cluster for one priority, the first where there are several.

    `max_connection_pools` is taken and never reached: a host has one pool for each priority.
    """
    per_host = 0
    for threshold in cluster.circuit_breakers.per_host_thresholds:
        if threshold.priority == priority and threshold.HasField("max_connections"):
            per_host = threshold.max_connections.value
            break
    for threshold in cluster.circuit_breakers.thresholds:
        if threshold.priority == priority:
            return _thresholds(threshold, per_host)
    return CircuitBreakers(max_connections_per_host=per_host)


def _thresholds(message: Any, per_host: int) -> CircuitBreakers:
    def limit(name: str, default: int) -> int:
        return int(getattr(message, name).value) if message.HasField(name) else default

    return CircuitBreakers(
        max_connections=limit("max_connections", _DEFAULTS.max_connections),
        max_pending_requests=limit("max_pending_requests", _DEFAULTS.max_pending_requests),
        max_requests=limit("max_requests", _DEFAULTS.max_requests),
        max_retries=limit("max_retries", _DEFAULTS.max_retries),
        retry_budget=_budget(message.retry_budget) if message.HasField("retry_budget") else None,
        track_remaining=message.track_remaining,
        max_connections_per_host=per_host,
    )


def _budget(message: Any) -> RetryBudget:
    percent = message.budget_percent.value if message.HasField("budget_percent") else 20.0
    least = message.min_retry_concurrency.value if message.HasField("min_retry_concurrency") else 3
    return RetryBudget(percent, least)
