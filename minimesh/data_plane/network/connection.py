"""What is known of an accepted connection before any byte of it was read."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.telemetry.stream_info import StreamInfo

if TYPE_CHECKING:
    from minimesh.data_plane.network.tls.server import TlsConnection


class ConnectionInfo:
    """One accepted connection, as the protocol of its filter chain sees it. Addresses are "ip:port"."""

    __slots__ = (
        "application_protocol",
        "connection_id",
        "destination_port",
        "direct_remote_address",
        "filter_chain_name",
        "filter_state",
        "local_address",
        "names_destinations",
        "original_destination",
        "remote_address",
        "requested_server_name",
        "tls",
    )

    def __init__(
        self, connection_id: int, local_address: str, remote_address: str, destination_port: int
    ) -> None:
        self.connection_id = connection_id
        self.local_address = local_address
        self.remote_address = remote_address
        #: As seen on the socket, whatever headers or proxy protocol say.
        self.direct_remote_address = remote_address
        #: The port that the caller meant: the original destination where the connection was redirected.
        self.destination_port = destination_port
        #: (address, port) where a redirected connection was going; None where nothing was redirected.
        self.original_destination: tuple[str, int] | None = None
        #: Whether its requests say where they are going: a client's that was told to use a proxy.
        self.names_destinations = False
        self.filter_chain_name = ""
        #: What HTTP filters keep for the connection's life, each under a key of its own.
        self.filter_state: dict[object, object] | None = None
        #: As a listener filter found it in the client's first bytes.
        self.requested_server_name: str | None = None
        #: What ALPN agreed on (`h2`), empty for nothing.
        self.application_protocol = ""
        #: None on plain text.
        self.tls: TlsConnection | None = None

    def describe(self, stream: StreamInfo) -> None:
        """Tell a stream which connection it came by."""
        stream.downstream_local_address = self.local_address
        stream.downstream_direct_local_address = self.local_address
        stream.downstream_remote_address = self.remote_address
        stream.downstream_direct_remote_address = self.direct_remote_address
        stream.requested_server_name = self.requested_server_name
        stream.connection_id = self.connection_id
        stream.filter_chain_name = self.filter_chain_name
        if self.tls is not None:
            stream.tls = self.tls.facts


def address_text(address: Any) -> str:
    """`("127.0.0.1", 80)` -> `127.0.0.1:80`; IPv6 in brackets; a Unix socket's path as it is."""
    if not isinstance(address, tuple):
        return str(address or "")
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def reset(transport: asyncio.WriteTransport) -> None:
    """Close a connection at once with a TCP reset, as Envoy does where there is nothing to say."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
