"""Opening a transport to a host: TCP, and TLS on top where the cluster says so. For all upstream protocols.

The caller minds the connect timeout, which covers the handshake as in Envoy.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar, cast

from minimesh.data_plane.network.tls.failure import SECRET_MISSING, TlsFailureError, failure_of
from minimesh.data_plane.network.tls.half_close import HalfClosableTls
from minimesh.data_plane.network.tls.handshake import NO_HANDSHAKE_LIMIT_S, Shaken, handshake_socket
from minimesh.data_plane.upstream.host import is_unix_path

if TYPE_CHECKING:
    from minimesh.data_plane.network.tls.client import ClientTls
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, TcpKeepalive
    from minimesh.data_plane.upstream.host import Host

#: The server name that requests ask for (`auto_sni`), set by a pool in the task that dials; empty: none.
requested_server_name: ContextVar[str] = ContextVar("requested_server_name", default="")
UpstreamProtocol = TypeVar("UpstreamProtocol", bound=asyncio.Protocol)


async def dial(
    make_protocol: Callable[[str], UpstreamProtocol],
    host: Host,
    settings: ClusterSettings,
    offers: tuple[str, ...] = (),
    *,
    half_closes: bool = False,
) -> UpstreamProtocol:
    """Connect to a host; `make_protocol` is given the protocol that ALPN agreed on, empty for none.

    `offers` are the protocols for ALPN, where the cluster's TLS settings name none. `half_closes`: one
    direction may end before the other, over TLS too.

    Raises OSError; for a failed handshake it is a TlsFailureError, whose `words` are Envoy's.
    """
    sockets = settings.transport_sockets
    tls = None if sockets is None else sockets.choose(host.metadata)
    if tls is not None:
        return await _dial_tls(make_protocol, host, settings, tls, offers, half_closes)
    if is_unix_path(host.address):
        return await _dial_unix(make_protocol, host)
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: make_protocol(""),
        host.address,
        host.port,
        local_addr=settings.local_address_for(host.address),
    )
    if settings.tcp_keepalive is not None:
        keep_alive(transport.get_extra_info("socket"), settings.tcp_keepalive)
    return protocol


async def _dial_unix(make_protocol: Callable[[str], UpstreamProtocol], host: Host) -> UpstreamProtocol:
    """A socket in the file system, or an abstract one, whose name begins with a zero byte."""
    path = host.address
    name = "\0" + path[1:] if path.startswith("@") else path
    _, protocol = await asyncio.get_running_loop().create_unix_connection(lambda: make_protocol(""), name)
    return protocol


async def _dial_tls(
    make_protocol: Callable[[str], UpstreamProtocol],
    host: Host,
    settings: ClusterSettings,
    tls: ClientTls,
    offers: tuple[str, ...],
    half_closes: bool,
) -> UpstreamProtocol:
    context = tls.context_offering(offers)
    if context is None:
        raise TlsFailureError(SECRET_MISSING)
    server_name = tls.server_name(host.spec.hostname, requested_server_name.get())

    def take_over(transport: asyncio.Transport) -> UpstreamProtocol:
        connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
        tls.accept(connection, server_name, check_name=settings.auto_san_validation)
        return make_protocol(connection.selected_alpn_protocol() or "")

    # Kept by hand: of a TLS connection uvloop gives back its own protocol, not ours.
    shaken = Shaken(take_over)
    sock = await _connected_socket(host, settings)
    loop = asyncio.get_running_loop()
    try:
        if half_closes:
            over = HalfClosableTls(shaken, context, server_side=False, server_name=server_name)
            await loop.create_connection(lambda: over, sock=sock)
            await over.shake_hands(NO_HANDSHAKE_LIMIT_S)
        else:
            handshake_socket.set(sock.fileno())
            await loop.create_connection(
                lambda: shaken,
                sock=sock,
                ssl=context,
                server_hostname=server_name,
                ssl_handshake_timeout=NO_HANDSHAKE_LIMIT_S,
            )
    except (OSError, ValueError) as error:  # a name that cannot be sent is a ValueError
        failure = failure_of(error)
        tls.stats.count_failure(failure)
        raise failure from None
    if shaken.error is not None:
        raise shaken.error
    return cast("UpstreamProtocol", shaken.protocol)


async def _connected_socket(host: Host, settings: ClusterSettings) -> socket.socket:
    if is_unix_path(host.address):
        raise OSError(errno.EAFNOSUPPORT, "TLS over a Unix socket is not supported")
    family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if settings.tcp_keepalive is not None:
            keep_alive(sock, settings.tcp_keepalive)
        source = settings.local_address_for(host.address)
        if source is not None:
            sock.bind(source)
        await asyncio.get_running_loop().sock_connect(sock, (host.address, host.port))
    except BaseException:
        sock.close()
        raise
    return sock


def keep_alive(sock: socket.socket, keepalive: TcpKeepalive) -> None:
    """Have the system ask an idle peer whether it is still there; what is 0 stays the system's own."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (getattr(socket, "TCP_KEEPCNT", None), keepalive.probes),
        # macOS has another name for the time until the first probe.
        (getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None), keepalive.time_s),
        (getattr(socket, "TCP_KEEPINTVL", None), keepalive.interval_s),
    ):
        if value and option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
