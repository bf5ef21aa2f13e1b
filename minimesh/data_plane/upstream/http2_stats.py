"""The counters of a cluster's HTTP/2 connections, under Envoy's names."""

from __future__ import annotations

from minimesh.data_plane.telemetry.stats import StatsStore


class Http2Stats:
    """`cluster.NAME.http2.*`; all pools of a cluster share the numbers."""

    __slots__ = ("_prefix", "_store", "rx_reset", "streams_active", "tx_reset")

    def __init__(self, store: StatsStore, prefix: str) -> None:
        self._store = store
        self._prefix = f"{prefix}http2."
        self.streams_active = store.gauge(f"{self._prefix}streams_active")
        self.rx_reset = store.counter(f"{self._prefix}rx_reset")
        self.tx_reset = store.counter(f"{self._prefix}tx_reset")

    def count(self, name: str) -> None:
        """Something rare: `header_overflow`, `keepalive_timeout`, a flood."""
        self._store.counter(self._prefix + name).inc()
