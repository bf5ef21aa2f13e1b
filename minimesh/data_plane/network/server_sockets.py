"""Where listeners get their server sockets from: this process alone, or one that shares them with others."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from minimesh.data_plane.network.address_map import BindAddress


class SocketSource(Protocol):
    """Where listeners get their server sockets from."""

    accepts: bool
    """Whether connections are taken from them in this process."""

    def open(self, name: str, address: BindAddress, backlog: int, *, reuse_port: bool) -> socket.socket:
        """A bound, listening, non-blocking socket for the listener of this name.

        Raises OSError that names the address.
        """

    def close(self, name: str, address: BindAddress) -> None:
        """Called after the listener of this name has closed its socket for this address."""


class OwnSockets:
    """Sockets of this process alone."""

    accepts = True

    def open(self, name: str, address: BindAddress, backlog: int, *, reuse_port: bool) -> socket.socket:
        return open_server_socket(address, backlog, reuse_port=reuse_port)

    def close(self, name: str, address: BindAddress) -> None:
        """Nobody else has it."""


OWN_SOCKETS = OwnSockets()


def open_server_socket(address: BindAddress, backlog: int, *, reuse_port: bool = False) -> socket.socket:
    """A bound, listening, non-blocking socket. Raises OSError that names the address."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address.host, address.port))
        sock.listen(backlog)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"cannot bind '{address.host}:{address.port}': {error.strerror or error}"
        ) from error
    return sock
