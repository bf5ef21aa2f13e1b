"""Counters of a listener."""

from __future__ import annotations

from minimesh.data_plane.network.listener_settings import ListenerSettings
from minimesh.data_plane.telemetry.stats import StatsStore


class ListenerStats:
    """Counters under `listener.<address>.`."""

    __slots__ = (
        "cx_active", "cx_destroy", "cx_total", "cx_transport_socket_connect_timeout", "no_filter_chain_match",
        "pre_cx_timeout", "prefix", "store",
    )  # fmt: skip

    def __init__(self, store: StatsStore, settings: ListenerSettings) -> None:
        host, port = settings.configured_address
        self.store = store
        self.prefix = prefix = f"listener.{settings.stat_prefix or f'{host}_{port}'}."
        self.cx_total = store.counter(prefix + "downstream_cx_total")
        self.cx_active = store.gauge(prefix + "downstream_cx_active")
        self.cx_destroy = store.counter(prefix + "downstream_cx_destroy")
        self.pre_cx_timeout = store.counter(prefix + "downstream_pre_cx_timeout")
        self.cx_transport_socket_connect_timeout = store.counter(
            prefix + "downstream_cx_transport_socket_connect_timeout"
        )
        self.no_filter_chain_match = store.counter(prefix + "no_filter_chain_match")
