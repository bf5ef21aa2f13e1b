"""The clocks of a client's HTTP/1 connection: how long a request may take to come; how the connection ends.

        OPEN --told to drain, a limit reached--> DRAINING: the next response is the last
        OPEN, DRAINING --idle for too long, or for a moment when told to close--> closed
        any --a response after which nothing more is read--> LINGERING
        LINGERING --the client closes, or a while has passed--> closed
        closed, with bytes that the client does not take --no progress for a while--> cut off

Decides when; the connection reads and writes.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.data_plane.http.http1.downstream import Http1ServerConnection
    from minimesh.data_plane.network.timers import Deadline

#: A connection idle for this long is taken for one that stays so: what it remembers of its last request, some
#: 2 KB that speed up one like it, is given up.
_FORGET_AFTER_S = 10.0
#: How long a connection without a request may wait for one when its listener drains.
_GRACE_S = 0.1


class Http1Lifetime:
    """See the module."""

    __slots__ = (
        "_connection", "_deadline", "_max_duration", "_unsent_bytes", "draining", "lingering",
        "request_deadline", "start_time", "started_at",
    )  # fmt: skip

    def __init__(self, connection: Http1ServerConnection) -> None:
        self._connection = connection
        self.draining = False
        #: Nothing is said or heard any more.
        self.lingering = False
        #: When the request under way began: by the wall clock, by the loop's.
        self.start_time = 0.0
        self.started_at = 0.0
        #: When the request, or its head, must be there.
        self.request_deadline: Deadline | None = None
        #: Idleness while it is open, the last moment while it lingers, progress when it is closed.
        self._deadline: Deadline | None = None
        #: What the client had left to take when the closed connection was looked at last; -1: never.
        self._unsent_bytes = -1
        self._max_duration: Deadline | None = None

    def begin(self) -> None:
        """The connection is there."""
        self._watch_idleness()
        limit_s = self._connection.manager.config.max_connection_duration_s
        if limit_s:
            self._max_duration = self._connection.timers.call_after(limit_s, self._max_duration_reached)

    def end(self) -> None:
        """The connection is gone, or another goes on with it."""
        for deadline in (self._deadline, self.request_deadline, self._max_duration):
            if deadline is not None:
                deadline.cancel()
        # They know each other: without this only the garbage collector frees them.
        del self._connection

    # --- a request ---

    def begin_request(self) -> None:
        """Its first byte is there."""
        connection = self._connection
        self.started_at = connection.loop.time()
        self.start_time = time.time()
        config = connection.manager.config
        limit_s = config.request_headers_timeout_s or config.request_timeout_s
        if limit_s:
            self.request_deadline = connection.timers.call_after(limit_s, self._request_too_slow)

    def head_received(self) -> None:
        """A limit for the head alone is over; that for the whole request began with its first byte."""
        connection = self._connection
        config = connection.manager.config
        if config.request_headers_timeout_s:
            self.request_received()
            if config.request_timeout_s:
                left_s = config.request_timeout_s - (connection.loop.time() - self.started_at)
                self.request_deadline = connection.timers.call_after(left_s, self._request_too_slow)

    def request_received(self) -> None:
        """All of it is there, or no more of it matters."""
        if self.request_deadline is not None:
            self.request_deadline.cancel()
            self.request_deadline = None

    def _request_too_slow(self) -> None:
        self.request_deadline = None
        self._connection.request_too_slow()

    # --- silence, and limits of the connection ---

    def _watch_idleness(self) -> None:
        """One deadline for the connection, moved on when it finds that something happened meanwhile."""
        connection = self._connection
        self._deadline = None
        if connection.closing:
            self._watch_progress()
            return
        limit_s = connection.manager.config.idle_timeout_s or math.inf
        idle_s = 0.0 if connection.serving else connection.loop.time() - connection.idle_since
        if idle_s >= limit_s:
            connection.manager.stats.cx_idle_timeout.inc()
            connection.close()
            return
        if idle_s >= _FORGET_AFTER_S:
            connection.forget()
        else:
            limit_s = min(limit_s, _FORGET_AFTER_S)
        # None: nothing is left to watch for as long as the connection stays idle.
        self._deadline = (
            connection.timers.call_after(limit_s - idle_s, self._watch_idleness)
            if limit_s < math.inf
            else None
        )

    def _max_duration_reached(self) -> None:
        """The next response is the last; without one the connection closes when the drain timeout is over.

        One that was never used closes at once.
        """
        connection = self._connection
        connection.manager.stats.count("downstream_cx_max_duration_reached")
        self.draining = True
        if not connection.requests and not connection.serving:
            connection.close()
            return
        limit_s = connection.manager.config.drain_timeout_s
        self._max_duration = connection.timers.call_after(limit_s, self.close_if_idle)

    # --- the end ---

    def close_if_idle(self) -> None:
        """The next response is the last; without one, close: in a moment, for a request may be on its way."""
        self.draining = True
        connection = self._connection
        if not self.lingering:
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = connection.timers.call_after(_GRACE_S, self._close_if_still_idle)

    def linger(self) -> None:
        """Give the client a moment to read the answer and close first: closing now could reset it away."""
        self.lingering = True
        connection = self._connection
        connection.read_on()
        limit_s = connection.manager.config.delayed_close_timeout_s
        if self._deadline is not None:
            self._deadline.cancel()
        if limit_s <= 0:
            connection.close()
        else:
            self._deadline = connection.timers.call_after(limit_s, self._linger_no_more)

    def closing(self) -> None:
        """The connection closes as soon as the client has taken all: look after that."""
        if self._deadline is None:  # else that deadline will find it closed
            self._watch_progress()

    def _watch_progress(self) -> None:
        """Cut off a client that takes nothing any more: it would keep the connection for ever."""
        self._deadline = None
        connection = self._connection
        limit_s = connection.manager.config.delayed_close_timeout_s
        if limit_s <= 0:
            return
        unsent_bytes = connection.unsent_bytes
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            if not self.lingering:  # else it is counted
                connection.manager.stats.cx_delayed_close_timeout.inc()
            connection.close_now()
            return
        self._unsent_bytes = unsent_bytes
        self._deadline = connection.timers.call_after(limit_s, self._watch_progress)

    def _close_if_still_idle(self) -> None:
        self._deadline = None
        connection = self._connection
        if not connection.serving and not connection.waits_for_more and not connection.closed:
            connection.close()

    def _linger_no_more(self) -> None:
        self._deadline = None
        connection = self._connection
        if not connection.closed:
            connection.manager.stats.cx_delayed_close_timeout.inc()
            connection.close()
