"""Server sockets that several processes accept from: opened in the parent, asked for by the workers.

On Linux each worker gets a socket of its own, bound with SO_REUSEPORT, and the kernel spreads connections
over them. On macOS that option does not spread, so there all workers accept from one socket. Either way the
parent keeps each socket open, and what waits in it outlives a worker.

A worker asks when its listener opens, over a socket made for this alone, and waits for the answer: that takes
a fraction of a millisecond, once for each address. A question is one line of JSON,
`{"name": LISTENER, "address": [HOST, PORT, ORIGINAL PORT], "backlog": N}`; the answer is a line
`{"errno": 0, "error": ""}` that carries the descriptor.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import sys
from typing import Any

from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.server_sockets import open_server_socket

_ANSWER_LIMIT_S = 5.0
_LINE_BYTES = 64 * 1024


class ParentSockets:
    """The sockets of all workers; the listeners of the mirror open and close them."""

    accepts = False

    def __init__(self, workers: int, *, one_each: bool = sys.platform == "linux") -> None:
        self._number = workers if one_each else 1
        self._open: dict[tuple[str, BindAddress], list[socket.socket]] = {}

    def open(self, name: str, address: BindAddress, backlog: int, *, reuse_port: bool) -> socket.socket:
        """Open the sockets of all workers; returns a copy of the first. Raises OSError."""
        return self._sockets(name, address, backlog)[0].dup()

    def close(self, name: str, address: BindAddress) -> None:
        """Close them here; a worker's copy is the worker's to close."""
        for sock in self._open.pop((name, address), ()):
            sock.close()

    def serve(self, worker: int, asked: socket.socket) -> None:
        """Answer what this worker asks on `asked`, from the running event loop, until the worker is gone."""
        loop = asyncio.get_running_loop()
        asked.setblocking(False)
        loop.add_reader(asked, lambda: self._answer(worker, asked))

    def _answer(self, worker: int, asked: socket.socket) -> None:
        try:
            line = asked.recv(_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            line = b""
        if not line:
            asyncio.get_running_loop().remove_reader(asked)
            asked.close()
            return
        question = json.loads(line)
        try:
            sockets = self._sockets(question["name"], BindAddress(*question["address"]), question["backlog"])
        except OSError as error:
            _send(asked, {"errno": error.errno or errno.EINVAL, "error": error.strerror or str(error)})
        else:
            _send(asked, {"errno": 0, "error": ""}, sockets[worker % len(sockets)])

    def _sockets(self, name: str, address: BindAddress, backlog: int) -> list[socket.socket]:
        sockets = self._open.get((name, address))
        if sockets is None:
            self._refuse_second_owner(address)
            sockets = self._open[name, address] = self._bind(address, backlog)
        return sockets

    def _refuse_second_owner(self, address: BindAddress) -> None:
        """Sockets with SO_REUSEPORT would share an address that two listeners want; nobody means that."""
        for _, other in self._open:
            if address.port and other[:2] == address[:2]:
                reason = os.strerror(errno.EADDRINUSE)
                raise OSError(errno.EADDRINUSE, f"cannot bind '{address.host}:{address.port}': {reason}")

    def _bind(self, address: BindAddress, backlog: int) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            for _ in range(self._number):
                # Port 0 becomes a real one with the first.
                real = address._replace(port=sockets[0].getsockname()[1]) if sockets else address
                sockets.append(open_server_socket(real, backlog, reuse_port=True))
        except OSError:
            for sock in sockets:
                sock.close()
            raise
        return sockets


def _send(asked: socket.socket, answer: dict[str, Any], sock: socket.socket | None = None) -> None:
    descriptors = [sock.fileno()] if sock is not None else []
    socket.send_fds(asked, [json.dumps(answer).encode() + b"\n"], descriptors)


class WorkerSockets:
    """A worker's sockets, asked for one by one."""

    accepts = True

    def __init__(self, parent: socket.socket) -> None:
        parent.settimeout(_ANSWER_LIMIT_S)
        self._parent = parent

    def open(self, name: str, address: BindAddress, backlog: int, *, reuse_port: bool) -> socket.socket:
        """Raises OSError: the parent's, or because the parent does not answer."""
        question = {"name": name, "address": list(address), "backlog": backlog}
        self._parent.sendall(json.dumps(question).encode() + b"\n")
        line, descriptors, _, _ = socket.recv_fds(self._parent, _LINE_BYTES, 1)
        if not line:
            raise OSError(errno.EPIPE, "the parent process is gone")
        answer = json.loads(line)
        if answer["errno"]:
            raise OSError(answer["errno"], answer["error"])
        sock = socket.socket(fileno=descriptors[0])
        sock.setblocking(False)
        return sock

    def close(self, name: str, address: BindAddress) -> None:
        """The listener has closed its own copy; the parent's listener does the same with the parent's."""
