"""Frames between parent and worker: requests with their replies, both ways, over a stream socket.

A frame is two lengths (four bytes each, big end first), a JSON object and bytes:

    {"id": 7, "do": "apply"} + a serialised DiscoveryResponse
    {"id": 7, "rejected": null}

A request is answered by one frame with its id. When the other end goes, requests fail with ChannelLostError.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

#: Given the request's fields and bytes; what it returns is the reply.
Handler = Callable[[dict[str, Any], bytes], Awaitable[dict[str, Any]]]

_LENGTHS = struct.Struct("!II")


class ChannelLostError(ConnectionError):
    """The process at the other end is gone."""


class FrameReader:
    """Frames out of bytes, as they come. Without I/O."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Every frame that is complete now."""
        held = self._held
        held += data
        frames = []
        while len(held) >= _LENGTHS.size:
            fields_length, payload_length = _LENGTHS.unpack_from(held)
            payload_at = _LENGTHS.size + fields_length
            end = payload_at + payload_length
            if len(held) < end:
                break
            frames.append((json.loads(held[_LENGTHS.size : payload_at]), bytes(held[payload_at:end])))
            del held[:end]
        return frames


def frame(fields: dict[str, Any], payload: bytes = b"") -> bytes:
    """One frame for the wire."""
    text = json.dumps(fields).encode()
    return _LENGTHS.pack(len(text), len(payload)) + text + payload


class Channel(asyncio.Protocol):
    """One end. `closed` is done when the other end is gone."""

    def __init__(self, handler: Handler | None = None) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._handler = handler
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def request(self, do: str, payload: bytes = b"", **fields: Any) -> dict[str, Any]:
        """Ask the other end; returns its reply. Raises ChannelLostError."""
        if self._transport is None or self.closed.done():
            raise ChannelLostError(do)
        number = next(self._ids)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        self._transport.write(frame({"id": number, "do": do, **fields}, payload))
        try:
            return await reply
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # --- told by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        for fields, payload in self._reader.feed(data):
            if "do" in fields:
                task = asyncio.get_running_loop().create_task(self._serve(fields, payload))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                waiting = self._waiting.get(fields["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(fields)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ChannelLostError("the other process is gone"))

    # --- within ---

    async def _serve(self, fields: dict[str, Any], payload: bytes) -> None:
        assert self._handler is not None, "only the worker's end is asked"
        reply = await self._handler(fields, payload)
        if self._transport is not None and not self.closed.done():
            self._transport.write(frame({**reply, "id": fields["id"]}))
