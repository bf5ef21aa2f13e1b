"""Two transports with nothing between them: what one end writes, the protocol at the other is given.

Connections of a rehearsal: the proxy's own protocols at both ends, and no socket.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

Address = tuple[str, int]


class PipeEnd(asyncio.Transport):
    """One end. `other` is set by `connect`."""

    other: PipeEnd

    def __init__(self, protocol: asyncio.BaseProtocol, local: Address, remote: Address) -> None:
        super().__init__({"sockname": local, "peername": remote})
        self._loop = asyncio.get_running_loop()
        self._protocol: Any = protocol
        self._incoming: deque[bytes] = deque()
        self._paused = False
        self._ended = False
        self._closing = False

    # --- told by the other end ---

    def deliver(self, data: bytes) -> None:
        self._incoming.append(data)
        self._loop.call_soon(self._flush)

    def end(self) -> None:
        """The other end has closed."""
        self._ended = True
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        while self._incoming and not self._paused and not self._closing:
            self._give(self._incoming.popleft())
        if self._ended and not self._incoming and not self._closing:
            self._protocol.eof_received()
            self.close()

    def _give(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        while data and not self._closing:
            room = cast("Any", protocol.get_buffer(len(data)))
            length = min(len(room), len(data))
            room[:length] = data[:length]
            protocol.buffer_updated(length)
            data = data[length:]

    # --- asyncio.Transport ---

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and not self._closing:
            self.other.deliver(bytes(data))

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast("asyncio.BaseProtocol", self._protocol)

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return not self._paused

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.call_soon(self._flush)

    def can_write_eof(self) -> bool:
        return False

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._loop.call_soon(self._protocol.connection_lost, None)
            self.other.end()

    def abort(self) -> None:
        self.close()


def connect(
    client: asyncio.BaseProtocol,
    server: asyncio.BaseProtocol,
    client_address: Address,
    server_address: Address,
) -> None:
    """Join two protocols, as an accepted connection would."""
    near = PipeEnd(client, client_address, server_address)
    far = PipeEnd(server, server_address, client_address)
    near.other, far.other = far, near
    server.connection_made(far)
    client.connection_made(near)
