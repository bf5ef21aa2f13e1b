"""Cuts an HTTP/2 connection's bytes into frames, and notices a peer that wears us out with them.

The `h2` library takes frames one after the other from here: so what came before a faulty one still counts,
GOAWAY can be acted on without ending the connection (the library would take no frame after it), and floods
are seen before they cost anything. No I/O. The limits are Envoy's, as are the names of what exceeds them.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import NamedTuple

from minimesh.data_plane.network.http2_options import Http2Options

HEADER_BYTES = 9
#: What we announce (the protocol's own default): no frame may be longer.
MAX_FRAME_BYTES = 16_384
_END_STREAM = _ACK = 0x1
_END_HEADERS = 0x4


class FrameType(IntEnum):
    """RFC 9113, 6."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Violation(Enum):
    """What a peer did too much of; the value is the counter's name."""

    EMPTY_FRAMES = "inbound_empty_frames_flood"
    PRIORITY_FRAMES = "inbound_priority_frames_flood"
    WINDOW_UPDATES = "inbound_window_update_frames_flood"
    CONTROL_FRAMES = "outbound_control_flood"
    """It asks for answers (PING, SETTINGS) and does not read them."""
    HEADERS_TOO_LARGE = "header_overflow"
    UNWANTED_FRAME = "rx_messaging_error"
    """Larger than announced, or pushed although that was ruled out."""


class Frame(NamedTuple):
    """One frame: `raw` is all of it, header included."""

    kind: int
    flags: int
    stream_id: int
    raw: bytes

    @property
    def payload(self) -> bytes:
        return self.raw[HEADER_BYTES:]


class FrameReader:
    """See the module. `feed`, then `take` until it gives None; after a violation the connection must end."""

    __slots__ = (
        "_at", "_buffer", "_control_frames", "_data_frames_sent", "_empty_frames", "_header_bytes",
        "_max_header_bytes", "_options", "_priority_frames", "_streams", "_window_updates", "violation",
    )  # fmt: skip

    def __init__(self, options: Http2Options, max_header_bytes: int) -> None:
        self._options = options
        self._max_header_bytes = max_header_bytes
        self._buffer = b""
        self._at = 0
        self.violation: Violation | None = None
        self._empty_frames = 0
        self._priority_frames = 0
        self._window_updates = 0
        self._data_frames_sent = 0
        self._control_frames = 0
        self._header_bytes = 0
        self._streams = 0

    def feed(self, data: bytes) -> None:
        """More bytes from the peer."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def take(self) -> Frame | None:
        """The next complete frame; None when there is none yet, or there was a violation."""
        buffer, at = self._buffer, self._at
        if len(buffer) - at < HEADER_BYTES or self.violation is not None:
            return None
        length = int.from_bytes(buffer[at : at + 3], "big")
        if length > MAX_FRAME_BYTES:
            self.violation = Violation.UNWANTED_FRAME
            return None
        end = at + HEADER_BYTES + length
        if end > len(buffer):
            return None
        kind, flags = buffer[at + 3], buffer[at + 4]
        self.violation = self._judge(kind, flags, length)
        if self.violation is not None:
            return None
        self._at = end
        stream_id = int.from_bytes(buffer[at + 5 : at + 9], "big") & 0x7FFF_FFFF
        return Frame(kind, flags, stream_id, buffer[at:end])

    def stream_opened(self) -> None:
        """One stream more: more frames are in order."""
        self._streams += 1

    def data_sent(self) -> None:
        """A DATA frame was sent: the peer will answer it with WINDOW_UPDATE."""
        self._data_frames_sent += 1

    def answers_taken(self) -> None:
        """The peer has read what we wrote."""
        self._control_frames = 0

    def _judge(self, kind: int, flags: int, length: int) -> Violation | None:
        if kind in (FrameType.HEADERS, FrameType.CONTINUATION):
            return self._judge_headers(kind, flags, length)
        if kind == FrameType.DATA:
            return self._judge_emptiness(flags, length)
        if kind == FrameType.WINDOW_UPDATE:
            self._window_updates += 1
            limit = self._options.max_window_updates_per_data_frame * self._data_frames_sent
            exceeded = self._window_updates > 5 + 2 * (self._streams + limit)
            return Violation.WINDOW_UPDATES if exceeded else None
        if kind in (FrameType.PING, FrameType.SETTINGS) and not flags & _ACK:
            self._control_frames += 1
            exceeded = self._control_frames > self._options.max_outbound_control_frames
            return Violation.CONTROL_FRAMES if exceeded else None
        if kind == FrameType.PRIORITY:
            self._priority_frames += 1
            limit = self._options.max_priority_frames_per_stream * (1 + self._streams)
            return Violation.PRIORITY_FRAMES if self._priority_frames > limit else None
        return Violation.UNWANTED_FRAME if kind == FrameType.PUSH_PROMISE else None

    def _judge_headers(self, kind: int, flags: int, length: int) -> Violation | None:
        self._header_bytes = length if kind == FrameType.HEADERS else self._header_bytes + length
        if self._header_bytes > self._max_header_bytes:
            return Violation.HEADERS_TOO_LARGE
        if kind == FrameType.CONTINUATION and length == 0 and not flags & _END_HEADERS:
            return self._judge_emptiness(0, 0)
        return self._judge_emptiness(flags, length)

    def _judge_emptiness(self, flags: int, length: int) -> Violation | None:
        if length or flags & _END_STREAM:
            self._empty_frames = 0
            return None
        self._empty_frames += 1
        exceeded = self._empty_frames > self._options.max_consecutive_empty_frames
        return Violation.EMPTY_FRAMES if exceeded else None
