"""A stage that lets a response's body out no faster than so many bytes a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.token_bucket import BucketSettings, TokenBucket

if TYPE_CHECKING:
    from minimesh.data_plane.http.stream import Stream

#: A second's bytes go out in as many parts; 1 KiB divides evenly into them.
_PARTS_PER_S = 16


class ResponseThrottle:
    """See the module. What has to wait is kept here, and the upstream is paused when that becomes much."""

    __slots__ = ("_bucket", "_ended", "_kept", "_limit_bytes", "_part_bytes", "_paused", "_stream", "_waits")

    def __init__(self, stream: Stream, kib_per_s: int) -> None:
        self._stream = stream
        self._part_bytes = kib_per_s * 1024 // _PARTS_PER_S
        settings = BucketSettings(_PARTS_PER_S, _PARTS_PER_S, 1.0)
        # One part to begin with: no burst at the start.
        self._bucket = TokenBucket(settings, stream.connection.loop.time(), tokens=1)
        self._kept = bytearray()
        self._ended = False
        self._limit_bytes = stream.manager.config.buffer_limit_bytes
        self._paused = False
        self._waits = False

    def on_data(self, data: bytes, end_stream: bool) -> bytes | None:
        if not self._kept and not self._waits:
            parts = -(-len(data) // self._part_bytes)
            if self._bucket.take(parts, self._stream.connection.loop.time()):
                return data
        self._kept += data
        self._ended = end_stream
        if len(self._kept) > self._limit_bytes:
            # Each time: a client that has read something lets the upstream go on.
            self._paused = True
            self._stream.pause_response(True)
        if not self._waits:
            self._release()
        return None

    def _release(self) -> None:
        """Nothing goes out from within `on_data`: the first part waits for its turn as well."""
        self._waits = True
        self._stream.wait(1 / _PARTS_PER_S, self._on_turn)

    def _on_turn(self) -> None:
        self._waits = False
        now_s = self._stream.connection.loop.time()
        wanted = -(-len(self._kept) // self._part_bytes)
        parts = min(wanted, self._bucket.remaining(now_s))
        self._bucket.take(parts, now_s)
        length = parts * self._part_bytes
        data = bytes(self._kept[:length])
        del self._kept[:length]
        if self._paused and len(self._kept) <= self._limit_bytes // 2:
            self._paused = False
            self._stream.pause_response(False)
        if self._kept:
            self._release()
        self._stream.release_response(self, data, self._ended and not self._kept)
