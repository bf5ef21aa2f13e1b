"""How a client's HTTP/2 connection comes to its end: told to go, limits on its time, silence.

        OPEN --told to drain, a limit reached, idle--> DRAINING: GOAWAY that names no stream yet
        DRAINING --drain timeout--> GOING AWAY: GOAWAY with the last stream --no stream left--> LINGERING
        any --an error--> LINGERING --the client closes, or a while has passed--> closed

Decides when; the connection writes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from h2.errors import ErrorCodes

from minimesh.data_plane.http.http2.keepalive import Keepalive

if TYPE_CHECKING:
    from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
    from minimesh.data_plane.network.timers import Deadline

_NO_STREAM_YET = 2**31 - 1


class Phase(IntEnum):
    """See the module; only forward."""

    OPEN = 0
    DRAINING = 1
    GOING_AWAY = 2
    LINGERING = 3


class Http2Lifetime:
    """See the module."""

    __slots__ = ("_connection", "_drain", "_head", "_idleness", "_max_duration", "keepalive", "phase")

    def __init__(self, connection: Http2ServerConnection) -> None:
        self._connection = connection
        self.phase = Phase.OPEN
        self.keepalive: Keepalive | None = None
        #: Idleness while it is open, the last moment while it lingers.
        self._idleness: Deadline | None = None
        self._drain: Deadline | None = None
        self._max_duration: Deadline | None = None
        self._head: Deadline | None = None

    @property
    def lingering(self) -> bool:
        """Nothing is said or heard any more."""
        return self.phase is Phase.LINGERING

    def begin(self) -> None:
        """The connection is there."""
        connection = self._connection
        self._watch_idleness()
        limit_s = connection.manager.config.max_connection_duration_s
        if limit_s:
            self._max_duration = connection.timers.call_after(limit_s, self._max_duration_reached)
        if connection.options.keepalive_timeout_s:
            self.keepalive = Keepalive(
                connection.loop, connection.options, connection.send_ping, self._keepalive_failed
            )

    def end(self) -> None:
        """The connection is gone."""
        for deadline in (self._idleness, self._head, self._drain, self._max_duration):
            if deadline is not None:
                deadline.cancel()
        if self.keepalive is not None:
            self.keepalive.stop()

    def drain(self) -> None:
        """No new streams soon: the client is told, and gets the drain timeout's time to take notice."""
        if self.phase is Phase.OPEN:
            self.phase = Phase.DRAINING
            self._connection.say_goaway(_NO_STREAM_YET, ErrorCodes.NO_ERROR)
            limit_s = self._connection.manager.config.drain_timeout_s
            self._drain = self._connection.timers.call_after(limit_s, self.go_away)

    def go_away(self) -> None:
        """Nothing new from here on."""
        if self.phase < Phase.GOING_AWAY:
            self.phase = Phase.GOING_AWAY
            connection = self._connection
            connection.say_goaway(connection.last_stream_id, ErrorCodes.NO_ERROR)
            if not connection.has_streams:
                self.linger()

    def linger(self) -> None:
        """Give the client a moment to read what was said and close first: closing now could reset it away."""
        self.phase = Phase.LINGERING
        if self._idleness is not None:
            self._idleness.cancel()
        limit_s = self._connection.manager.config.delayed_close_timeout_s
        if limit_s <= 0:
            self._connection.close()
        else:
            self._idleness = self._connection.timers.call_after(limit_s, self._linger_no_more)

    def watch_head(self, *, complete: bool) -> None:
        """A head cut into CONTINUATION frames must not take for ever."""
        if complete:
            if self._head is not None:
                self._head.cancel()
                self._head = None
            return
        limit_s = self._connection.manager.config.request_headers_timeout_s
        if limit_s and self._head is None:
            self._head = self._connection.timers.call_after(limit_s, self._head_too_slow)

    def _linger_no_more(self) -> None:
        self._connection.manager.stats.cx_delayed_close_timeout.inc()
        self._connection.close_now()

    def _watch_idleness(self) -> None:
        """One deadline, moved on when it finds that something happened meanwhile."""
        connection = self._connection
        limit_s = connection.manager.config.idle_timeout_s
        if limit_s <= 0:
            return
        idle_s = 0.0 if connection.has_streams else connection.loop.time() - connection.idle_since
        if idle_s >= limit_s:
            connection.manager.stats.cx_idle_timeout.inc()
            self.drain()
        else:
            self._idleness = connection.timers.call_after(limit_s - idle_s, self._watch_idleness)

    def _max_duration_reached(self) -> None:
        self._connection.manager.stats.count("downstream_cx_max_duration_reached")
        self.drain()

    def _head_too_slow(self) -> None:
        self._head = None
        self._connection.manager.stats.count("downstream_rq_header_timeout")
        self._connection.fail(ErrorCodes.ENHANCE_YOUR_CALM, "DC", "request_header_timeout")

    def _keepalive_failed(self) -> None:
        self._connection.stats.count("keepalive_timeout")
        self._connection.fail(ErrorCodes.NO_ERROR, "DC", "http2.keepalive_timeout")
