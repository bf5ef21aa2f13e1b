"""An HTTP connection manager: what all its connections share. It is the listener's protocol factory."""

from __future__ import annotations

import random
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from minimesh.data_plane.http.filter_choice import FiltersOfRoutes, standing_filters
from minimesh.data_plane.http.request_headers import RequestIds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minimesh.data_plane.http.downstream import Http1ServerConnection
    from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
    from minimesh.data_plane.http.interfaces import Filter
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener import ListenerScope


class ConnectionManagerStats:
    """Counters under `http.<stat_prefix>.`, looked up once."""

    __slots__ = (
        "cx_active", "cx_delayed_close_timeout", "cx_destroy", "cx_idle_timeout", "cx_protocol_error",
        "cx_total", "rq_active", "rq_by_class", "rq_completed", "rq_idle_timeout", "rq_rx_reset", "rq_time",
        "rq_too_large", "rq_total", "rs_too_large",
    )  # fmt: skip

    def __init__(self, config: HttpConnectionManagerConfig) -> None:
        store, prefix = config.stats, f"http.{config.stat_prefix}.downstream_"
        self.cx_total = store.counter(prefix + "cx_total")
        self.cx_active = store.gauge(prefix + "cx_active")
        self.cx_destroy = store.counter(prefix + "cx_destroy")
        self.cx_idle_timeout = store.counter(prefix + "cx_idle_timeout")
        self.cx_protocol_error = store.counter(prefix + "cx_protocol_error")
        self.cx_delayed_close_timeout = store.counter(prefix + "cx_delayed_close_timeout")
        self.rq_total = store.counter(prefix + "rq_total")
        self.rq_active = store.gauge(prefix + "rq_active")
        self.rq_completed = store.counter(prefix + "rq_completed")
        self.rq_rx_reset = store.counter(prefix + "rq_rx_reset")
        self.rq_idle_timeout = store.counter(prefix + "rq_idle_timeout")
        self.rq_too_large = store.counter(prefix + "rq_too_large")
        self.rs_too_large = store.counter(f"http.{config.stat_prefix}.rs_too_large")
        self.rq_by_class = tuple(store.counter(f"{prefix}rq_{n}xx") for n in range(1, 6))
        self.rq_time = store.histogram(prefix + "rq_time")


class ConnectionManager:
    """Settings, counters and sources of identity of one connection manager."""

    __slots__ = (
        "_date", "_date_second", "_filters_for", "config", "random", "request_ids", "standing_filters",
        "stats",
    )  # fmt: skip

    def __init__(self, config: HttpConnectionManagerConfig, source: random.Random | None = None) -> None:
        self.config = config
        #: The filters for routes that configure none.
        self.standing_filters = standing_filters(config.filters)
        self._filters_for = FiltersOfRoutes(config.filters)
        self.stats = ConnectionManagerStats(config)
        self.request_ids = RequestIds()
        # Chances of weights and fractions, no secrets.
        self.random = source or random.Random()
        self._date = ""
        self._date_second = -1

    def __call__(self, info: ConnectionInfo, scope: ListenerScope) -> Http1ServerConnection:
        """The protocol of one accepted connection."""
        from minimesh.data_plane.http.downstream import Http1ServerConnection

        return Http1ServerConnection(self, info, scope)

    def filters_for(self, configs: Mapping[str, object]) -> tuple[Filter, ...]:
        """The filters for a route with these configurations of filters."""
        return self._filters_for.chosen(configs)

    def date(self) -> str:
        """The `date` header's value, made once a second."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            self._date = formatdate(now, usegmt=True)
        return self._date
