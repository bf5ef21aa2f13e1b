"""The way in for connections that are TLS, or whose first bytes choose their filter chain.

    accepted --> looked at --chain found--> shaking hands --> serving
                     |  `--none: NR, reset         `--failed: counted, logged, closed
                     `--gone, or out of time: closed

One task for each connection, and only until its protocol has begun.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, cast

from minimesh.data_plane.network.connection import ConnectionInfo, address_text
from minimesh.data_plane.network.filter_chains import ConnectionFacts
from minimesh.data_plane.network.inspection import NOTHING_SEEN, Inspection, InspectorStats, Look, Seen
from minimesh.data_plane.network.original_destination import destination_of_socket
from minimesh.data_plane.network.tls.certificate import MalformedCertificateError
from minimesh.data_plane.network.tls.failure import (
    SECRET_MISSING,
    TlsFailureError,
    failure_of,
    inspector_failure,
    verification_failure,
)
from minimesh.data_plane.network.tls.half_close import HalfClosableTls
from minimesh.data_plane.network.tls.handshake import NO_HANDSHAKE_LIMIT_S, Shaken, handshake_socket
from minimesh.data_plane.network.tls.handshake_stats import HandshakeStats
from minimesh.data_plane.network.tls.server import PreparedContext, describe_connection
from minimesh.data_plane.network.tls.verification import refusal_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine

    from minimesh.data_plane.network.listener import Listener
    from minimesh.data_plane.network.listener_settings import FilterChain


class Admission:
    """Of one listener, whose settings it reads anew for each connection."""

    def __init__(self, listener: Listener, next_connection_id: Callable[[], int]) -> None:
        self._listener = listener
        self._next_connection_id = next_connection_id
        self._looks: set[Look] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._inspector_stats = InspectorStats(listener.stats.store)
        self._handshakes = HandshakeStats(listener.stats.store, listener.stats.prefix)

    def admit(self, sock: socket.socket, destination_port: int) -> None:
        """A socket was accepted."""
        settings = self._listener.settings
        inspection = settings.inspection
        if not (inspection.tls or inspection.http):
            # Without an inspector the hello chooses no chain, but it may choose the certificate.
            if not any(chain.tls is not None and chain.tls.needs_server_name for chain in self._tls_chains()):
                self._choose(sock, NOTHING_SEEN, destination_port)
                return
            inspection = Inspection(tls=True, timeout_s=0.0)
        look: Look | None = None

        def done() -> None:
            if look is not None:
                self._looks.discard(look)

        def on_seen(sock: socket.socket, seen: Seen) -> None:
            done()
            self._inspector_stats.count(seen, settings.inspection)
            self._choose(sock, seen, destination_port)

        def on_gone(timed_out: bool) -> None:
            done()
            if timed_out:
                self._listener.stats.pre_cx_timeout.inc()

        look = Look(sock, inspection, self._listener.timers, on_seen, on_gone)
        if not look.done:
            self._looks.add(look)

    def close(self) -> None:
        """Give up every connection that is not serving yet."""
        for look in list(self._looks):
            look.close()
        self._looks.clear()
        for task in list(self._tasks):
            task.cancel()

    def _tls_chains(self) -> list[FilterChain]:
        settings = self._listener.settings
        default = settings.default_filter_chain
        return [*settings.filter_chains, default] if default is not None else list(settings.filter_chains)

    # --- the chain ---

    def _choose(self, sock: socket.socket, seen: Seen, destination_port: int) -> None:
        listener = self._listener
        try:
            local, remote = sock.getsockname(), sock.getpeername()
        except OSError:  # gone before it was looked at
            sock.close()
            return
        info = ConnectionInfo(
            self._next_connection_id(), address_text(local), address_text(remote), destination_port
        )
        if listener.settings.use_original_dst:
            meant = info.original_destination = destination_of_socket(sock, local)
            if meant is not None:
                local, destination_port = meant, meant[1]
                info.local_address, info.destination_port = address_text(meant), destination_port
        facts = ConnectionFacts(destination_port, local[0], remote[0], remote[1])
        inspection = listener.settings.inspection
        if inspection.tls or inspection.http:
            info.requested_server_name = seen.server_name or None
            facts = facts._replace(
                server_name=seen.server_name,
                transport_protocol=seen.transport_protocol,
                application_protocols=seen.application_protocols,
            )
        listener.stats.cx_total.inc()
        listener.stats.cx_active.inc()
        chain = listener.choose(facts)
        if chain is None:
            _reset(sock)
            is_plain = inspection.tls and seen.transport_protocol != "tls" and seen.first_bytes
            listener.refuse(info, inspector_failure(seen.first_bytes) if is_plain else "")
            return
        info.filter_chain_name = chain.name
        self._enter(sock, info, chain, seen.server_name)

    def _enter(self, sock: socket.socket, info: ConnectionInfo, chain: FilterChain, server_name: str) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if chain.tls is None:
            self._start(self._open(sock, info, chain))
            return
        prepared = chain.tls.context_for(server_name)
        if prepared is None:
            _reset(sock)
            self._listener.fail(info, SECRET_MISSING)
            return
        self._start(self._shake_hands(sock, info, chain, prepared))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, sock: socket.socket, info: ConnectionInfo, chain: FilterChain) -> None:
        begin = partial(self._listener.begin, info, chain)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: Shaken(lambda _: begin()), sock)
        except OSError:
            self._listener.fail(info, "")

    # --- the handshake ---

    async def _shake_hands(
        self, sock: socket.socket, info: ConnectionInfo, chain: FilterChain, prepared: PreparedContext
    ) -> None:
        # Kept by hand: of a TLS connection uvloop gives back its own protocol, not ours.
        shaken = Shaken(partial(self._take_over, info, chain, prepared))
        limit_s = chain.handshake_timeout_s or NO_HANDSHAKE_LIMIT_S
        loop = asyncio.get_running_loop()
        try:
            if chain.half_closes:
                tls = HalfClosableTls(shaken, prepared.context, server_side=True)
                await loop.connect_accepted_socket(lambda: tls, sock)
                await tls.shake_hands(limit_s)
            else:
                handshake_socket.set(sock.fileno())
                await loop.connect_accepted_socket(
                    lambda: shaken, sock, ssl=prepared.context, ssl_handshake_timeout=limit_s
                )
        except (OSError, EOFError) as error:
            if isinstance(error, ConnectionAbortedError):  # how the event loop says "too slow"
                self._listener.stats.cx_transport_socket_connect_timeout.inc()
            failure = failure_of(error)
            self._handshakes.count_failure(failure)
            self._listener.fail(info, failure.words)
        else:
            if shaken.error is not None:
                self._listener.fail(info, cast(TlsFailureError, shaken.error).words)

    def _take_over(
        self,
        info: ConnectionInfo,
        chain: FilterChain,
        prepared: PreparedContext,
        transport: asyncio.Transport,
    ) -> asyncio.Protocol:
        """The handshake is complete. Raises TlsFailureError for a client that is not wanted."""
        connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
        try:
            tls = info.tls = describe_connection(connection, prepared.certificates)
        except MalformedCertificateError as error:
            raise verification_failure(str(error)) from None
        assert chain.tls is not None
        if tls.peer is not None and chain.tls.validation is not None:
            refused = refusal_of(tls.peer, chain.tls.validation)
            if refused is not None:
                self._handshakes.count_refusal(refused.check.value)
                raise verification_failure(refused.details)
        self._handshakes.count_handshake(connection, tls.peer is not None)
        info.application_protocol = connection.selected_alpn_protocol() or ""
        return self._listener.begin(info, chain)


def _reset(sock: socket.socket) -> None:
    """Close with a TCP reset, as Envoy closes what it does not serve."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
