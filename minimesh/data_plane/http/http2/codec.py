"""The `h2` library as both sides use it."""

from __future__ import annotations

from h2.connection import H2Connection

PROTOCOL_WINDOW_BYTES = 65_535
"""A connection's flow-control window before anybody widens it (RFC 9113, 6.9.2)."""


class LeanH2(H2Connection):
    """`h2` with less memory of streams that are over, told by its owner when one is."""

    MAX_CLOSED_STREAMS = 2048

    @property
    def unsent_bytes(self) -> int:
        """How much waits for `data_to_send`."""
        return len(self._data_to_send)

    def forget(self, stream_id: int) -> None:
        """A stream is over. (`h2` finds out by a look at all for each new one, which is not taken here.)"""
        stream = self.streams.get(stream_id)
        if stream is not None and stream.closed:
            self._closed_streams[stream_id] = self.streams.pop(stream_id).closed_by
