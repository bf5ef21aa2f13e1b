"""Finds out that the peer of an HTTP/2 connection is gone without having said so: PING, and a clock."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import count

from minimesh.data_plane.network.http2_options import Http2Options


class Keepalive:
    """Asks every interval, and waits for an answer as long as nothing else is heard.

    Times are those of `Http2Options`; `failed` is called once, when the answer is overdue.
    """

    __slots__ = ("_awaited", "_failed", "_heard_at", "_loop", "_numbers", "_options", "_send", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: Http2Options,
        send: Callable[[bytes], None],
        failed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._options = options
        self._send = send
        self._failed = failed
        self._numbers = count(1)
        self._awaited: bytes | None = None
        self._heard_at = loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._wait_for_next()

    def heard(self) -> None:
        """Bytes came in: whoever talks is there."""
        self._heard_at = self._loop.time()

    def answered(self, opaque: bytes) -> None:
        """The answer to a PING."""
        if opaque == self._awaited:
            self._awaited = None
            self._wait_for_next()

    def before_request(self) -> None:
        """A request goes out: on a connection that was silent for long, a PING goes with it."""
        silent_s = self._options.keepalive_idle_interval_s
        if silent_s and self._awaited is None and self._loop.time() - self._heard_at > silent_s:
            self._ask()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for_next(self) -> None:
        self.stop()
        interval_s = self._options.keepalive_interval_s
        if interval_s:
            # Spreads the PINGs of connections that were opened together; nothing secret in it.
            jitter = random.random() * self._options.keepalive_jitter_percent / 100
            self._timer = self._loop.call_later(interval_s * (1 + jitter), self._ask)

    def _ask(self) -> None:
        self.stop()
        self._awaited = next(self._numbers).to_bytes(8, "big")
        self._send(self._awaited)
        self._timer = self._loop.call_later(self._options.keepalive_timeout_s, self._check)

    def _check(self) -> None:
        self._timer = None
        left_s = self._heard_at + self._options.keepalive_timeout_s - self._loop.time()
        if left_s > 0.001:
            self._timer = self._loop.call_later(left_s, self._check)
        else:
            self._failed()
