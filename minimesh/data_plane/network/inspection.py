"""Connections whose first bytes decide what becomes of them: accepted here, looked at, left untouched.

    LOOKING --enough seen--> chosen       --closed, or out of time--> dropped (or chosen without, if so
       `--more bytes are needed--> LOOKING                                  configured)

The bytes are read with MSG_PEEK, so that whoever gets the socket finds all of them. While a hello is
incomplete the socket's low-water mark is one above what was seen: the kernel wakes us for new bytes only,
where a level-triggered loop would spin.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from minimesh.data_plane.network.client_hello import ClientHello, Verdict, read_client_hello, sniff_http

if TYPE_CHECKING:
    from minimesh.data_plane.network.timers import Deadline, TimerWheel
    from minimesh.data_plane.telemetry.stats import StatsStore

_LOG = logging.getLogger("minimesh.listener")
_PEEK_BYTES = 64 * 1024
_ACCEPTS_AT_ONCE = 64
#: How long a listener waits when the process has no file descriptor left.
_PAUSE_S = 0.2
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Inspection(NamedTuple):
    """Which first bytes are looked at, and for how long."""

    tls: bool = False
    http: bool = False
    timeout_s: float = 15.0
    """0: for as long as it takes."""
    continue_on_timeout: bool = False


class Seen(NamedTuple):
    """What the first bytes say."""

    server_name: str = ""
    transport_protocol: str = "raw_buffer"
    application_protocols: tuple[str, ...] = ()
    first_bytes: bytes = b""


NOTHING_SEEN = Seen()
NO_INSPECTION = Inspection()


def judge(data: bytes, *, tls: bool, http: bool) -> Seen | None:
    """What these bytes say; None: more are needed. Pure."""
    if tls:
        hello = read_client_hello(data)
        if hello is Verdict.NEED_MORE:
            return None
        if isinstance(hello, ClientHello):
            return Seen(hello.server_name, "tls", hello.application_protocols, data)
    if http:
        protocol = sniff_http(data)
        if protocol is Verdict.NEED_MORE:
            return None
        if isinstance(protocol, str):
            return Seen(application_protocols=(protocol,), first_bytes=data)
    return Seen(first_bytes=data)


class InspectorStats:
    """The counters of both inspectors."""

    __slots__ = ("_store",)

    def __init__(self, store: StatsStore) -> None:
        self._store = store

    def count(self, seen: Seen, inspection: Inspection) -> None:
        """One connection was looked at to the end."""
        counter = self._store.counter
        is_tls = seen.transport_protocol == "tls"
        if inspection.tls:
            counter(f"tls_inspector.{'tls_found' if is_tls else 'tls_not_found'}").inc()
            if is_tls:
                counter(f"tls_inspector.{'sni_found' if seen.server_name else 'sni_not_found'}").inc()
                found = "alpn_found" if seen.application_protocols else "alpn_not_found"
                counter(f"tls_inspector.{found}").inc()
        if inspection.http and not is_tls:
            found = _HTTP_COUNTERS.get("".join(seen.application_protocols), "http_not_found")
            counter(f"http_inspector.{found}").inc()


_HTTP_COUNTERS = {"http/1.0": "http10_found", "http/1.1": "http11_found", "h2c": "http2_found"}


class Acceptor:
    """Accepts from one listening socket for as long as it is open. Owns the socket."""

    def __init__(self, sock: socket.socket, on_accepted: Callable[[socket.socket], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._on_accepted = on_accepted
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Stop accepting and close the socket."""
        self.release().close()

    def release(self) -> socket.socket:
        """Stop accepting; the socket goes on listening, in other hands."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock.fileno())
        return self._sock

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                connection, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._rest(error)
                return
            connection.setblocking(False)
            self._on_accepted(connection)

    def _rest(self, error: OSError) -> None:
        if error.errno not in _OUT_OF_FILES:
            raise error
        _LOG.warning("cannot accept connections for now: %s", error)
        self._loop.remove_reader(self._sock.fileno())
        self._pause = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock.fileno(), self._accept)


class Look:
    """Looks at one connection until enough is seen, then calls back once; a connection that goes is closed.

    `on_seen` owns the socket from then on; `on_gone` is told whether time ran out.
    """

    __slots__ = (
        "_deadline",
        "_inspection",
        "_loop",
        "_on_gone",
        "_on_seen",
        "_peeked_bytes",
        "_sock",
        "done",
    )

    def __init__(
        self,
        sock: socket.socket,
        inspection: Inspection,
        timers: TimerWheel,
        on_seen: Callable[[socket.socket, Seen], None],
        on_gone: Callable[[bool], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._inspection = inspection
        self._on_seen = on_seen
        self._on_gone = on_gone
        self._peeked_bytes = -1
        self._deadline: Deadline | None = None
        #: Whether somebody was called back, or it was given up.
        self.done = False
        if not self._look() and inspection.timeout_s > 0:
            self._deadline = timers.call_after(inspection.timeout_s, self._time_out)

    def close(self) -> None:
        """Give up."""
        self._stop()
        self._sock.close()

    def _look(self) -> bool:
        """Whether that was all."""
        try:
            data = self._sock.recv(_PEEK_BYTES, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            self._wait(0)
            return False
        except OSError:
            return self._gone()
        if not data or len(data) == self._peeked_bytes:  # woken, and nothing new: the client has closed
            return self._gone()
        seen = judge(data, tls=self._inspection.tls, http=self._inspection.http)
        if seen is None and len(data) < _PEEK_BYTES:
            self._wait(len(data))
            return False
        self._hand_over(seen or Seen(first_bytes=data))
        return True

    def _wait(self, seen_bytes: int) -> None:
        if self._peeked_bytes < 0:
            self._loop.add_reader(self._sock.fileno(), self._look)
        self._peeked_bytes = seen_bytes
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, seen_bytes + 1)

    def _hand_over(self, seen: Seen) -> None:
        self._stop()
        self._on_seen(self._sock, seen)

    def _stop(self) -> None:
        self.done = True
        if self._peeked_bytes >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
            self._peeked_bytes = -1
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _gone(self) -> bool:
        self.close()
        self._on_gone(False)
        return True

    def _time_out(self) -> None:
        self._deadline = None
        if self._inspection.continue_on_timeout:
            self._hand_over(NOTHING_SEEN)
        else:
            self.close()
            self._on_gone(True)
