"""Frames between parent and worker."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from minimesh.data_plane.workers.channel import Channel, ChannelLostError, FrameReader, frame

_FRAMES = [
    ({"id": 1, "do": "apply"}, b"\x00payload"),
    ({"id": 2}, b""),
    ({"id": 3, "text": "ä"}, b"x" * 70_000),
]


@pytest.mark.parametrize("piece", [1, 7, 1 << 20], ids=["byte by byte", "in pieces", "all at once"])
def test_frames_come_out_as_they_went_in(piece: int) -> None:
    wire = b"".join(frame(fields, payload) for fields, payload in _FRAMES)
    reader = FrameReader()
    read = [each for at in range(0, len(wire), piece) for each in reader.feed(wire[at : at + piece])]
    assert read == _FRAMES


async def _pair(handle: Any) -> tuple[Channel, Channel]:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    _, asking = await loop.create_unix_connection(Channel, sock=ours)
    _, answering = await loop.create_unix_connection(lambda: Channel(handle), sock=theirs)
    return asking, answering


async def test_replies_find_their_requests_in_whatever_order_they_come() -> None:
    first_may_answer = asyncio.Event()

    async def handle(fields: dict[str, Any], payload: bytes) -> dict[str, Any]:
        if fields["do"] == "first":
            await first_may_answer.wait()
        return {"answer": fields["do"], "length": len(payload)}

    asking, answering = await _pair(handle)
    first = asyncio.create_task(asking.request("first", b"12345"))
    second = await asking.request("second")
    first_may_answer.set()
    assert ((await first)["answer"], (await first)["length"], second["answer"]) == ("first", 5, "second")
    asking.close()
    await answering.closed


async def test_a_request_fails_when_the_other_end_goes() -> None:
    async def handle(fields: dict[str, Any], payload: bytes) -> dict[str, Any]:
        answering.close()
        await asyncio.Event().wait()
        return {}

    asking, answering = await _pair(handle)
    with pytest.raises(ChannelLostError):
        await asking.request("anything")
    with pytest.raises(ChannelLostError):
        await asking.request("anything more")
    for task in list(answering._tasks):
        task.cancel()
