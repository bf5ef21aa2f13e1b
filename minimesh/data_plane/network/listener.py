"""Server sockets: which filter chain a connection gets, updates in place, draining.

A listener is told its settings and keeps its sockets across updates; new connections take the chains of the
moment at which they were accepted. Settings are frozen, made when configuration arrives; the protocol of a
chain comes from the factory that compile_listener put into it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.network.admission import Admission
from minimesh.data_plane.network.connection import ConnectionInfo, address_text, reset
from minimesh.data_plane.network.descriptors import BUDGET
from minimesh.data_plane.network.filter_chains import ConnectionFacts, FilterChains
from minimesh.data_plane.network.inspection import Acceptor
from minimesh.data_plane.network.listener_settings import (
    FilterChain,
    ListenerSettings,
    ServerConnection,
)
from minimesh.data_plane.network.listener_stats import ListenerStats
from minimesh.data_plane.network.original_destination import original_destination
from minimesh.data_plane.network.redirection import ListenerDirectory, hand_over
from minimesh.data_plane.network.server_sockets import OWN_SOCKETS, SocketSource
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.telemetry.stream_info import StreamInfo

if TYPE_CHECKING:
    from minimesh.data_plane.network.address_map import BindAddress
    from minimesh.data_plane.network.timers import Deadline, TimerWheel

_LOG = logging.getLogger("minimesh.listener")
#: How long a listener waits when the process has no file descriptors left.
_REST_S = 0.2
_connection_ids = itertools.count(1)


def number_connections(first: int, step: int) -> None:
    """Connections of this process are `first`, `first + step` and so on: those of several do not collide."""
    global _connection_ids  # noqa: PLW0603 - one series for all listeners of a process
    _connection_ids = itertools.count(first, step)


class Listener:
    """Sockets and connections of one configured listener.

    `start` and `update` bind before they return, so an address in use is an OSError there and then;
    connections are accepted from the next turn of the event loop on.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        stats: StatsStore,
        timers: TimerWheel,
        source: SocketSource = OWN_SOCKETS,
        directory: ListenerDirectory | None = None,
    ) -> None:
        self.settings = settings
        self._source = source
        self._directory = directory or ListenerDirectory()
        self.timers = timers
        self.stats = ListenerStats(stats, settings)
        self.connections: set[ServerConnection] = set()
        self.draining = False
        self._chains = FilterChains(settings.filter_chains, settings.default_filter_chain)
        self._sockets: dict[BindAddress, socket.socket] = {}
        self._servers: dict[BindAddress, asyncio.Server | Acceptor] = {}
        #: For connections that are more than an accepted transport: TLS, or chosen by their first bytes.
        self._admission = (
            Admission(self, next_connection_id) if _needs_admission(settings, self._chains) else None
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._drain_deadline: Deadline | None = None
        #: While nothing is accepted for want of descriptors.
        self._resting: Deadline | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def bound_addresses(self) -> list[tuple[str, int]]:
        """Host and port of every open socket; port 0 in the settings shows as the real one here."""
        return [sock.getsockname()[:2] for sock in self._sockets.values()]

    def start(self) -> None:
        """Open the sockets. Raises OSError naming the address; nothing stays open then."""
        try:
            self._open(self.settings.addresses)
        except OSError:
            self.stop_listening()
            raise
        self._directory.add(self)

    def update(self, settings: ListenerSettings) -> None:
        """Take over new settings: new connections get the new chains, sockets that stay are left alone.

        Connections already there keep what they began with until their next response, which is their last.

        Raises OSError when a new address cannot be bound; the old settings stay in force then.
        """
        self._open([address for address in settings.addresses if address not in self._sockets])
        for address in [address for address in self._sockets if address not in settings.addresses]:
            self._close(address)
        self.settings = settings
        self._chains = FilterChains(settings.filter_chains, settings.default_filter_chain)
        self._choose_way_in()
        self._directory.add(self)
        for connection in self.connections:
            connection.drain()

    def stop_listening(self) -> None:
        """New connections are refused from now on."""
        self._directory.remove(self)
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None
        for address in list(self._sockets):
            self._close(address)

    def drain(self, timeout_s: float | None = None) -> None:
        """Stop listening, close what is idle; requests finish, and what is left after the time is cut off."""
        self.stop_listening()
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()
        limit_s = self.settings.drain_timeout_s if timeout_s is None else timeout_s
        if self.connections and self._drain_deadline is None:
            self._drain_deadline = self.timers.call_after(limit_s, self.close_connections)

    def close_connections(self) -> None:
        """Close every connection, whatever it is at."""
        if self._admission is not None:
            self._admission.close()
        for connection in list(self.connections):
            connection.close_now()

    # --- told by connections ---

    def connection_replaced(self, connection: ServerConnection, successor: ServerConnection) -> None:
        self.connections.discard(connection)
        self.connections.add(successor)

    def connection_closed(self, connection: ServerConnection) -> None:
        self.connections.discard(connection)
        self.stats.cx_active.dec()
        self.stats.cx_destroy.inc()
        if not self.connections and self._drain_deadline is not None:
            self._drain_deadline.cancel()
            self._drain_deadline = None

    # --- within ---

    def _open(self, addresses: Sequence[BindAddress]) -> None:
        opened: list[BindAddress] = []
        try:
            for address in addresses:
                try:
                    settings = self.settings
                    self._sockets[address] = self._source.open(
                        self.name, address, settings.backlog, reuse_port=settings.reuse_port
                    )
                except PermissionError as error:
                    if address.original_port is None:
                        raise
                    # A redirect needs no privilege: the listener must not fail with its stand-in.
                    _LOG.warning("%s; port %d refuses connections", error, address.original_port)
                else:
                    opened.append(address)
        except OSError:
            for address in opened:
                self._close(address)
            raise
        for address in opened if self._source.accepts else ():
            self._accept_from(address)

    def _choose_way_in(self) -> None:
        """New settings may make connections want more, or less, than a transport."""
        wanted = _needs_admission(self.settings, self._chains)
        if wanted == (self._admission is not None):
            return
        self._admission = Admission(self, next_connection_id) if wanted else None
        for address, sock in list(self._sockets.items()) if self._source.accepts else ():
            server = self._servers.pop(address, None)
            if isinstance(server, Acceptor):
                server.release()
            elif server is not None:
                self._take_back(address, sock, server)
            self._accept_from(address)

    def _take_back(self, address: BindAddress, sock: socket.socket, server: asyncio.Server) -> None:
        """Listen on without accepting: the server closes its socket, so this goes on under another number."""
        self._sockets[address] = sock.dup()
        self._sockets[address].setblocking(False)
        server.close()

    # --- while there are no descriptors left ---

    def _rest(self) -> None:
        """Leave connections to the sockets' queues for a while."""
        if self._resting is not None:
            return
        _LOG.warning("listener %s accepts no connections for now: no file descriptors left", self.name)
        for address, server in list(self._servers.items()):
            if not isinstance(server, Acceptor):
                del self._servers[address]
                self._take_back(address, self._sockets[address], server)
        self._resting = self.timers.call_after(_REST_S, self._look_again)

    def _look_again(self) -> None:
        self._resting = None
        if BUDGET.is_used_up():
            self._resting = self.timers.call_after(_REST_S, self._look_again)
            return
        for address in self._sockets:
            if address not in self._servers:
                self._accept_from(address)

    def _accept_from(self, address: BindAddress) -> None:
        if self._admission is None:
            task = asyncio.get_running_loop().create_task(self._serve(address))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        sock = self._sockets[address]
        port = address.original_port or sock.getsockname()[1]
        admission = self._admission
        self._servers[address] = Acceptor(sock, lambda accepted: admission.admit(accepted, port))

    async def _serve(self, address: BindAddress) -> None:
        sock = self._sockets.get(address)
        if sock is None:
            return
        port = address.original_port or sock.getsockname()[1]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: _Accepted(self, port), sock=sock, backlog=self.settings.backlog
        )
        if self._sockets.get(address) is sock:
            self._servers[address] = server
        else:
            server.close()

    def _close(self, address: BindAddress) -> None:
        sock = self._sockets.pop(address)
        server = self._servers.pop(address, None)
        if server is not None:
            server.close()
        else:
            sock.close()
        self._source.close(self.name, address)

    def accept(self, transport: asyncio.Transport, destination_port: int) -> None:
        """A plain connection has come in: give it the protocol of its filter chain."""
        BUDGET.left -= 1
        if BUDGET.left < 0 and BUDGET.is_used_up():
            self._rest()
        local = transport.get_extra_info("sockname")
        remote = transport.get_extra_info("peername")
        info = ConnectionInfo(
            next(_connection_ids), address_text(local), address_text(remote), destination_port
        )
        host = local[0]
        if self.settings.use_original_dst:
            meant = info.original_destination = original_destination(transport)
            if meant is not None:
                host, destination_port = meant
                info.local_address, info.destination_port = address_text(meant), destination_port
                other = self._directory.find(meant) if self.settings.hands_off else None
                if other is not None and other is not self:
                    hand_over(other, transport, info, b"")
                    return
        self.stats.cx_total.inc()
        self.stats.cx_active.inc()
        chain = self._chains.choose(ConnectionFacts(destination_port, host, remote[0], remote[1]))
        if chain is None:
            reset(transport)
            self.refuse(info)
            return
        info.filter_chain_name = chain.name
        protocol = self.begin(info, chain)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)

    @property
    def looks_at_first_bytes(self) -> bool:
        """Whether what a client says first chooses its chain."""
        inspection = self.settings.inspection
        return self._chains.needs_first_bytes and (inspection.tls or inspection.http)

    # --- told by admission ---

    def choose(self, facts: ConnectionFacts) -> FilterChain | None:
        """The chain for a connection with these facts."""
        return self._chains.choose(facts)

    def begin(self, info: ConnectionInfo, chain: FilterChain) -> asyncio.Protocol:
        """The protocol of a connection whose bytes may flow."""
        protocol = chain.make_protocol(info, self)
        self.connections.add(cast(ServerConnection, protocol))
        if self.draining:
            cast(ServerConnection, protocol).drain()
        return protocol

    def refuse(self, info: ConnectionInfo, transport_failure: str = "") -> None:
        """No chain takes the connection, which is closed already: count and log it."""
        stats = self.stats
        stats.no_filter_chain_match.inc()
        # As in Envoy, a connection counts once a chain has taken it.
        stats.cx_total.value -= 1
        stats.cx_destroy.value -= 1
        self.fail(info, transport_failure, "NR", "filter_chain_not_found")

    def fail(self, info: ConnectionInfo, transport_failure: str, flag: str = "", details: str = "") -> None:
        """A counted connection has ended before its protocol began."""
        self.stats.cx_active.dec()
        self.stats.cx_destroy.inc()
        now = asyncio.get_running_loop().time()
        stream = StreamInfo(time.time(), now)
        stream.completed_at = now
        if flag:
            stream.add_flag(flag)
        stream.response_code_details = details or None
        stream.downstream_transport_failure_reason = transport_failure or None
        info.describe(stream)
        for access_log in self.settings.access_logs:
            access_log.log(stream)


def _needs_admission(settings: ListenerSettings, chains: FilterChains[FilterChain]) -> bool:
    """Whether connections are TLS, or chosen by their first bytes: all others are accepted by the loop."""
    default = settings.default_filter_chain
    return (
        any(chain.tls is not None for chain in settings.filter_chains)
        or (default is not None and default.tls is not None)
        or (chains.needs_first_bytes and (settings.inspection.tls or settings.inspection.http))
    )


def next_connection_id() -> int:
    """A number for one more connection."""
    return next(_connection_ids)


class _Accepted(asyncio.Protocol):
    """Stands in until the transport is known, then hands it to the listener."""

    __slots__ = ("_destination_port", "_listener")

    def __init__(self, listener: Listener, destination_port: int) -> None:
        self._listener = listener
        self._destination_port = destination_port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        if transport.get_extra_info("peername") is None:
            transport.abort()  # gone before it was accepted
            return
        self._listener.accept(transport, self._destination_port)
