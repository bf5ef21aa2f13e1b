"""Connections that were on their way elsewhere when they got here, and the listeners they go on at.

In a cluster iptables turns an application's connections to `virtualOutbound`; the socket remembers the
address it was meant for, and the listener of that address takes it, though it binds nothing. A connection
that is handed over is a transport already, so that its first bytes are collected and not peeked at.

    COLLECTING --enough seen--> chosen       --no chain--> reset       --out of time, or closed--> closed
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from minimesh.data_plane.network.connection import reset
from minimesh.data_plane.network.filter_chains import ConnectionFacts
from minimesh.data_plane.network.inspection import NOTHING_SEEN, Seen, judge

if TYPE_CHECKING:
    from minimesh.data_plane.network.connection import ConnectionInfo
    from minimesh.data_plane.network.listener import Listener
    from minimesh.data_plane.network.original_destination import Address
    from minimesh.data_plane.network.timers import Deadline

_WILDCARD = "0.0.0.0"  # noqa: S104 - compared, not bound
_LIMIT_BYTES = 64 * 1024
#: Where the control plane of this project writes the names that stand for a listener's address.
_METADATA, _NAMES = "minimesh", "names"


class ListenerDirectory:
    """The listeners of a proxy that are open or could be handed a connection, by configured address."""

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._by_address: dict[Address, Listener] | None = None
        self._by_name: dict[Address, list[Address]] = {}

    def add(self, listener: Listener) -> None:
        """It is there, or its settings have changed."""
        self._listeners[listener.name] = listener
        self._by_address = None

    def remove(self, listener: Listener) -> None:
        if self._listeners.get(listener.name) is listener:
            del self._listeners[listener.name]
            self._by_address = None

    def find(self, destination: Address) -> Listener | None:
        """The listener of an address, else the one of its port at all addresses."""
        found = self._index()
        return found.get(destination) or found.get((_WILDCARD, destination[1]))

    def address_of(self, name: str, port: int) -> Address | None:
        """The address that a name of the mesh stands for; one at random where there are several."""
        self._index()
        found = self._by_name.get((name.lower(), port))
        return random.choice(found) if found else None

    @property
    def entrance(self) -> Listener | None:
        """The listener where redirected connections arrive, which also has chains for what no other takes."""
        return next((each for each in self._listeners.values() if each.settings.hands_off), None)

    def _index(self) -> dict[Address, Listener]:
        if self._by_address is None:
            self._by_address, self._by_name = {}, {}
            for listener in self._listeners.values():
                address = listener.settings.configured_address
                self._by_address[address] = listener
                for name in _names(listener):
                    self._by_name.setdefault((name, address[1]), []).append(address)
        return self._by_address


def _names(listener: Listener) -> list[str]:
    own = listener.settings.metadata.get(_METADATA)
    names = own.get(_NAMES, ()) if isinstance(own, dict) else ()
    return [str(name) for name in names]


def hand_over(listener: Listener, transport: asyncio.Transport, info: ConnectionInfo, early: bytes) -> None:
    """Let a listener take a connection; `early` are bytes that have been read from it already."""
    listener.stats.cx_total.inc()
    listener.stats.cx_active.inc()
    arrival = _Arrival(listener, transport, info)
    transport.set_protocol(arrival)
    arrival.begin(early)


class _Arrival(asyncio.Protocol):
    """A connection that has no filter chain yet."""

    __slots__ = ("_deadline", "_early", "_info", "_listener", "_transport", "closed")

    def __init__(self, listener: Listener, transport: asyncio.Transport, info: ConnectionInfo) -> None:
        self._listener = listener
        self._transport = transport
        self._info = info
        self._early = b""
        self._deadline: Deadline | None = None
        self.closed = False

    def begin(self, early: bytes) -> None:
        listener, inspection = self._listener, self._listener.settings.inspection
        listener.connections.add(self)
        self._early = early
        if not listener.looks_at_first_bytes:
            self._enter(NOTHING_SEEN)
            return
        if inspection.timeout_s > 0:
            self._deadline = listener.timers.call_after(inspection.timeout_s, self._time_out)
        if early:
            self._judge()

    # --- told by the transport ---

    def data_received(self, data: bytes) -> None:
        self._early += data
        self._judge()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed:
            self.closed = True
            self._forget_time()
            self._listener.fail(self._info, "")
            self._listener.connections.discard(self)

    # --- asked by the listener ---

    def drain(self) -> None:
        """It has not begun; who takes it is told."""

    def close_if_idle(self) -> None:
        self._transport.close()

    def close_now(self) -> None:
        self._transport.abort()

    # --- within ---

    def _judge(self) -> None:
        inspection = self._listener.settings.inspection
        seen = judge(self._early, tls=inspection.tls, http=inspection.http)
        if seen is not None or len(self._early) >= _LIMIT_BYTES:
            self._enter(seen or NOTHING_SEEN)

    def _enter(self, seen: Seen) -> None:
        self._forget_time()
        listener, info, transport = self._listener, self._info, self._transport
        if listener.settings.inspection.tls:
            info.requested_server_name = seen.server_name or None
        host, port = info.original_destination or ("", info.destination_port)
        remote = transport.get_extra_info("peername") or ("", 0)
        chain = listener.choose(
            ConnectionFacts(
                port,
                host,
                remote[0],
                remote[1],
                seen.server_name,
                seen.transport_protocol,
                seen.application_protocols,
            )
        )
        self.closed = True
        listener.connections.discard(self)
        if chain is None or chain.tls is not None:  # an application's own connection is never ended as TLS
            reset(transport)
            listener.refuse(info)
            return
        info.filter_chain_name = chain.name
        protocol = listener.begin(info, chain)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._early:
            protocol.data_received(self._early)

    def _time_out(self) -> None:
        self._deadline = None
        if self._listener.settings.inspection.continue_on_timeout:
            self._enter(NOTHING_SEEN)
            return
        self._listener.stats.pre_cx_timeout.inc()
        self._transport.abort()

    def _forget_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
