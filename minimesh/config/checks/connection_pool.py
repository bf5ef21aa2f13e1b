"""Rules for the limits of connections and requests: a DestinationRule's, and a Sidecar's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, check_duration
from minimesh.config.schema import schema_of

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import ConnectionPoolSettings, HTTPSettings, TCPSettings

_LIMITS = (
    "maxConnections",
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "maxConcurrentStreams",
)
_DURATIONS = ("connectTimeout", "maxConnectionDuration", "idleTimeout")


def check_connection_pool(path: str, pool: ConnectionPoolSettings | None) -> Findings:
    if pool is None:
        return
    if pool.http is None and pool.tcp is None:
        yield Finding(
            path,
            "missing-field",
            "connection pool must have at least one field; give tcp or http, or remove it",
        )
    if pool.tcp is not None:
        at = f"{path}.tcp"
        yield from _numbers_and_durations(at, pool.tcp)
        keepalive = pool.tcp.tcp_keepalive
        if keepalive is not None:
            yield from check_duration(f"{at}.tcpKeepalive.time", keepalive.time)
            yield from check_duration(f"{at}.tcpKeepalive.interval", keepalive.interval)
    if pool.http is not None:
        yield from _numbers_and_durations(f"{path}.http", pool.http)
        yield from _http(f"{path}.http", pool.http)


def _numbers_and_durations(path: str, settings: TCPSettings | HTTPSettings) -> Findings:
    fields = schema_of(type(settings)).fields
    for name in _LIMITS:
        if name in fields and (value := getattr(settings, fields[name].attribute)) < 0:
            yield Finding(f"{path}.{name}", "bad-value", f"must not be negative, it is {value}")
    for name in _DURATIONS:
        if name in fields:
            yield from check_duration(f"{path}.{name}", getattr(settings, fields[name].attribute))


def _http(path: str, settings: HTTPSettings) -> Findings:
    if settings.h2_upgrade_policy == "UPGRADE" and settings.use_client_protocol:
        message = "use client protocol must not be true when H2UpgradePolicy is UPGRADE"
        yield Finding(f"{path}.useClientProtocol", "several-matches", message)
    keepalive = settings.http2_keep_alive
    if keepalive is None:
        return
    for name, value in (("interval", keepalive.interval), ("timeout", keepalive.timeout)):
        if value is None:
            message = "http2KeepAlive needs both interval and timeout"
            yield Finding(f"{path}.http2KeepAlive.{name}", "missing-field", message)
        yield from check_duration(f"{path}.http2KeepAlive.{name}", value)
