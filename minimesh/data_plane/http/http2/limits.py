"""When an HTTP/2 client has to go for its resets, and how its connections are counted. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.telemetry.stats import StatsStore

#: Envoy's `overload.premature_reset_total_stream_count` and `..._min_stream_lifetime_seconds`.
PREMATURE_RESETS_LOOKED_AT = 500
PREMATURE_RESET_LIFETIME_S = 1.0


class PrematureResets:
    """Watches how many requests a client takes back as soon as it has made them (CVE-2023-44487).

    At least half of so many requests is too much; a connection that must reach that is not waited for.
    """

    __slots__ = ("_ended", "_premature")

    def __init__(self) -> None:
        self._ended = 0
        self._premature = 0

    def stream_ended(self, *, premature: bool) -> bool:
        """One stream more is over; True when the connection has to be closed.

        `premature`: reset by the client within `PREMATURE_RESET_LIFETIME_S`, before any response.
        """
        self._ended += 1
        self._premature += premature
        return premature and 2 * self._premature >= max(self._ended, PREMATURE_RESETS_LOOKED_AT)


class Http2ServerStats:
    """Counters of HTTP/2 connections from clients: those of the connection manager, and Envoy's `http2.`."""

    __slots__ = ("_store", "cx_active", "cx_total", "prefix", "rq_total", "rx_reset", "tx_reset")

    def __init__(self, store: StatsStore, prefix: str) -> None:
        self._store = store
        self.prefix = prefix
        self.cx_total = store.counter(f"{prefix}downstream_cx_http2_total")
        self.cx_active = store.gauge(f"{prefix}downstream_cx_http2_active")
        self.rq_total = store.counter(f"{prefix}downstream_rq_http2_total")
        self.rx_reset = store.counter("http2.rx_reset")
        self.tx_reset = store.counter("http2.tx_reset")

    def count(self, name: str) -> None:
        """Something rare in the codec (`http2.<name>`): its counter is made when it first happens."""
        self._store.counter(f"http2.{name}").inc()
