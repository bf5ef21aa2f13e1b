"""Frames that come in, counted for the streams whose bytes somebody wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.http2.frames import HEADER_BYTES, MAX_FRAME_BYTES, Frame, FrameReader, FrameType

if TYPE_CHECKING:
    from minimesh.data_plane.telemetry.bytes_meter import BytesMeter

HEAD_FRAMES = (FrameType.HEADERS, FrameType.CONTINUATION)


def count_frame(meter: BytesMeter, frame: Frame) -> None:
    """A frame that came in for a stream."""
    size = len(frame.raw)
    if frame.kind in HEAD_FRAMES:
        if frame.kind == FrameType.CONTINUATION:
            size -= HEADER_BYTES
        meter.header_received += size
    elif frame.kind != FrameType.DATA:
        return
    meter.wire_received += size


def counted_head_bytes(wire_bytes: int) -> int:
    """What a header block counts for that takes so many bytes: frames that go on with it count no header."""
    continuations = (wire_bytes - 1) // (HEADER_BYTES + MAX_FRAME_BYTES)
    return wire_bytes - HEADER_BYTES * continuations


class MeteredFrames(FrameReader):
    """Goes on where another reader is."""

    __slots__ = ("meters",)

    def __init__(self, reader: FrameReader) -> None:
        for name in FrameReader.__slots__:
            setattr(self, name, getattr(reader, name))
        #: By the id of the stream.
        self.meters: dict[int, BytesMeter] = {}

    def take(self) -> Frame | None:
        frame = super().take()
        if frame is not None:
            meter = self.meters.get(frame.stream_id)
            if meter is not None:
                count_frame(meter, frame)
        return frame
