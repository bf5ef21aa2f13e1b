"""An HTTP connection manager: what all its connections share. It is the listener's protocol factory."""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING

from minimesh.data_plane.http.block_memo import BlockMemo
from minimesh.data_plane.http.filter_choice import FiltersOfRoutes, standing_filters
from minimesh.data_plane.http.hcm_config import Codec
from minimesh.data_plane.http.http2.limits import Http2ServerStats
from minimesh.data_plane.http.request_headers import RequestIds, prepare

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
    from minimesh.data_plane.http.header_block import HeaderBlock
    from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
    from minimesh.data_plane.http.interfaces import Filter
    from minimesh.data_plane.http.messages import PreparedHeaders
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener_settings import ListenerScope
    from minimesh.data_plane.telemetry.stats import Counter, StatsStore


class ConnectionManagerStats:
    """Counters under `http.<stat_prefix>.`, looked up once; what is rare is looked up when it happens."""

    __slots__ = (
        "cx_active", "cx_delayed_close_timeout", "cx_destroy", "cx_http1_total", "cx_idle_timeout",
        "cx_protocol_error", "cx_total", "prefix", "rq_active", "rq_by_class", "rq_idle_timeout",
        "rq_rx_reset", "rq_time", "rq_too_large", "rq_total", "rq_unrouted", "rs_too_large", "store",
    )  # fmt: skip

    def __init__(self, config: HttpConnectionManagerConfig) -> None:
        self.store = store = config.stats
        self.prefix = f"http.{config.stat_prefix}."
        prefix = self.prefix + "downstream_"
        self.cx_total = store.counter(prefix + "cx_total")
        self.cx_http1_total = store.counter(prefix + "cx_http1_total")
        self.cx_active = store.gauge(prefix + "cx_active")
        self.cx_destroy = store.counter(prefix + "cx_destroy")
        self.cx_idle_timeout = store.counter(prefix + "cx_idle_timeout")
        self.cx_protocol_error = store.counter(prefix + "cx_protocol_error")
        self.cx_delayed_close_timeout = store.counter(prefix + "cx_delayed_close_timeout")
        self.rq_total = store.counter(prefix + "rq_total")
        self.rq_active = store.gauge(prefix + "rq_active")
        self.rq_rx_reset = store.counter(prefix + "rq_rx_reset")
        self.rq_idle_timeout = store.counter(prefix + "rq_idle_timeout")
        self.rq_too_large = store.counter(prefix + "rq_too_large")
        self.rs_too_large = store.counter(f"http.{config.stat_prefix}.rs_too_large")
        self.rq_by_class = _by_class(store, prefix, config.listener_stat_prefix)
        #: Requests that ended before the router saw them.
        self.rq_unrouted = store.hidden_counter(self.prefix + "unrouted")
        store.sum(self.prefix + "rq_total").add(self.rq_total).take_off(self.rq_unrouted)
        by_http2 = store.counter(prefix + "rq_http2_total")
        store.sum(prefix + "rq_http1_total").add(self.rq_total).take_off(by_http2)
        self.rq_time = store.histogram(prefix + "rq_time")

    def count_closed(self, *, remote: bool, active: bool) -> None:
        """A connection is closed: by whom, and whether a request was under way."""
        self.cx_destroy.inc()
        side = "remote" if remote else "local"
        self.count(f"downstream_cx_destroy_{side}")
        if active:
            self.count("downstream_cx_destroy_active_rq")
            self.count(f"downstream_cx_destroy_{side}_active_rq")

    def count(self, name: str) -> None:
        """Something rare: its counter is made when it first happens."""
        self.store.counter(self.prefix + name).inc()


def _by_class(store: StatsStore, prefix: str, listener_prefix: str) -> tuple[Counter, ...]:
    """Counters of the responses in the 100s to 500s.

    They are the listener's own, if there is one; those of the connection manager are sums over listeners.
    """
    counted = f"{listener_prefix}.{prefix}" if listener_prefix else prefix
    counters = tuple(store.counter(f"{counted}rq_{n}xx") for n in range(1, 6))
    store.sum(counted + "rq_completed").add(*counters)
    if listener_prefix:
        store.sum(prefix + "rq_completed").add(*counters)
        for n, counter in enumerate(counters, 1):
            store.sum(f"{prefix}rq_{n}xx").add(counter)
    return counters


_VIA = re.compile(r"^via: [^\r]*", re.MULTILINE)


class ConnectionManager:
    """Settings, counters and sources of identity of one connection manager."""

    __slots__ = (
        "_date", "_date_second", "_filters_for", "_http1_connection", "_http2_stats", "_last_prepared",
        "block_memo", "config", "marks_responses", "meters_bytes", "random", "request_ids",
        "standing_filters", "stats",
    )  # fmt: skip

    def __init__(self, config: HttpConnectionManagerConfig, source: random.Random | None = None) -> None:
        # Connections know their manager's module, not the other way round.
        from minimesh.data_plane.http.http1.downstream import Http1ServerConnection

        self._http1_connection: type[Http1ServerConnection] = Http1ServerConnection
        #: Whether bytes on the wire are counted: an access log names them.
        self.meters_bytes = config.meters_bytes
        if config.meters_bytes:
            from minimesh.data_plane.http.http1.metering import MeteredHttp1ServerConnection

            self._http1_connection = MeteredHttp1ServerConnection
        self.config = config
        #: The filters for routes that configure none.
        self.standing_filters = standing_filters(config.filters)
        self._filters_for = FiltersOfRoutes(config.filters)
        self.stats = ConnectionManagerStats(config)
        #: Whether responses get headers behind all others (see `marked`).
        self.marks_responses = bool(config.via) or config.always_set_request_id_in_response
        self._http2_stats: Http2ServerStats | None = None
        self.request_ids = RequestIds()
        # Chances of weights and fractions, no secrets.
        self.random = source or random.Random()
        #: Left behind by the connection that closed last: new ones begin with what it had learnt.
        self.block_memo = BlockMemo()
        self._last_prepared: tuple[HeaderBlock, str, str, PreparedHeaders] | None = None
        self._date = ""
        self._date_second = -1

    def __call__(self, info: ConnectionInfo, scope: ListenerScope) -> asyncio.Protocol:
        """The protocol of one accepted connection; where nothing says which, HTTP/1 sees its first bytes."""
        if info.tls is not None:
            self.stats.count("downstream_cx_ssl_total")
        codec = self.config.codec
        if codec is Codec.HTTP2 or (codec is Codec.AUTO and info.application_protocol == "h2"):
            return self.http2_connection(info, scope)
        return self._http1_connection(self, info, scope)

    def prepare(self, block: HeaderBlock, info: ConnectionInfo, scheme: str) -> PreparedHeaders:
        """The headers to route and forward; the last answer again where it depends on the same things."""
        if info.tls is not None:
            return prepare(block, self.config, info.direct_remote_address, scheme, info.tls)
        client = info.direct_remote_address.rpartition(":")[0]
        last = self._last_prepared
        if last is not None and last[0] is block and last[1] == client and last[2] == scheme:
            return last[3]
        made = prepare(block, self.config, info.direct_remote_address, scheme)
        self._last_prepared = (block, client, scheme, made)
        return made

    def http2_connection(self, info: ConnectionInfo, scope: ListenerScope) -> Http2ServerConnection:
        """The protocol of a connection that speaks HTTP/2."""
        # Loaded with the first of them: the library takes memory.
        from minimesh.data_plane.http.http2.downstream import Http2ServerConnection

        if self.meters_bytes:
            from minimesh.data_plane.http.http2.metering import MeteredHttp2ServerConnection

            return MeteredHttp2ServerConnection(self, info, scope)
        return Http2ServerConnection(self, info, scope)

    @property
    def http2_stats(self) -> Http2ServerStats:
        """Made with the first connection that speaks HTTP/2."""
        made = self._http2_stats
        if made is None:
            made = self._http2_stats = Http2ServerStats(self.config.stats, self.stats.prefix)
        return made

    def filters_for(self, configs: Mapping[str, object]) -> tuple[Filter, ...]:
        """The filters for a route with these configurations of filters."""
        return self._filters_for.chosen(configs)

    def marked(self, text: str, request_id: str | None) -> str:
        """The header lines of a response, with what the configuration wants added to each."""
        if self.config.always_set_request_id_in_response and request_id:
            text += f"x-request-id: {request_id}\r\n"
        via = self.config.via
        if not via:
            return text
        marked = _VIA.sub(lambda found: f"{found[0]}, {via}", text, count=1)
        return f"{text}via: {via}\r\n" if marked == text else marked

    def marked_fields(
        self, fields: list[tuple[bytes, bytes]], request_id: str | None
    ) -> list[tuple[bytes, bytes]]:
        """`marked`, for a response in HTTP/2."""
        if self.config.always_set_request_id_in_response and request_id:
            fields.append((b"x-request-id", request_id.encode("latin-1")))
        via = self.config.via.encode("latin-1")
        if not via:
            return fields
        for at, (name, value) in enumerate(fields):
            if name == b"via":
                fields[at] = (name, value + b", " + via)
                return fields
        fields.append((b"via", via))
        return fields

    def date(self) -> str:
        """The `date` header's value, made once a second."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            self._date = _http_date(now)
        return self._date


_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _http_date(second: int) -> str:
    """RFC 9110's IMF-fixdate. (`email.utils` has it too, at the price of the whole email package.)"""
    at = time.gmtime(second)
    day = f"{_WEEKDAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
