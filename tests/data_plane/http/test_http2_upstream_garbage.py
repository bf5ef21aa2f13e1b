"""Whatever an HTTP/2 upstream sends, an exchange ends at most once, and nothing is raised."""

from __future__ import annotations

import asyncio
from typing import Any

from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from minimesh.data_plane.http.http2.upstream import Http2ClientConnection
from minimesh.data_plane.network.http2_options import Http2Options
from tests.data_plane.http.test_http2_upstream import Receiver, request


class Socket:
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        self.closed = False

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "sockname" else None

    def write(self, data: bytes) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


_NAMES = st.sampled_from([b":status", b":path", b"content-length", b"x-a", b"connection", b"X", b"", b"te"])
_VALUES = st.sampled_from([b"200", b"100", b"101", b"0", b"5", b"", b"a\0b", b"trailers", b"-1"])
_BLOCKS = st.lists(st.tuples(_NAMES, _VALUES), max_size=4).map(lambda fields: Encoder().encode(fields))
_STREAMS = st.sampled_from([0, 1, 3, 5, 2, 2**31 - 1])
_FRAMES = st.one_of(
    st.builds(frame, st.just(1), st.sampled_from([0x4, 0x5, 0x0, 0x1, 0x24, 0xC]), _STREAMS, _BLOCKS),
    st.builds(frame, st.just(0), st.sampled_from([0, 1, 8]), _STREAMS, st.binary(max_size=12)),
    st.builds(frame, st.integers(0, 12), st.integers(0, 255), _STREAMS, st.binary(max_size=24)),
)
_SETTINGS = frame(4, 0, 0, b"")


@settings(max_examples=300, deadline=None)
@given(frames=st.lists(_FRAMES, max_size=8), cut=st.integers(1, 60), strict=st.booleans())
def test_garbage(frames: list[bytes], cut: int, strict: bool) -> None:
    asyncio.run(_feed(_SETTINGS + b"".join(frames), cut, strict))


async def _feed(wire: bytes, cut: int, strict: bool) -> None:
    connection = Http2ClientConnection(Http2Options(stream_error_on_invalid_message=not strict))
    socket: Any = Socket()
    connection.connection_made(socket)
    receivers = [Receiver(request("/")), Receiver(request("/", method="POST"), b"part", end=False)]
    for receiver in receivers:
        receiver.exchange = connection.open_exchange()
        receiver.exchange.start(receiver, receiver.head, receiver.data, receiver.end, False)
    for at in range(0, len(wire), cut):
        connection.data_received(wire[at : at + cut])
        await asyncio.sleep(0)
    connection.connection_lost(None)
    assert all(receiver.ended for receiver in receivers)  # once: `Receiver` sees to that
    assert connection.active == 0
    assert connection.closed
