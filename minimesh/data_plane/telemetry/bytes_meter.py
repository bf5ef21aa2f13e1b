"""How many bytes one side of a stream has taken on the wire, framing and heads included."""

from __future__ import annotations


class BytesMeter:
    """Of the client's side of a stream, or of the upstream's: there all tries together."""

    __slots__ = (
        "decompressed_header_received", "decompressed_header_sent", "header_received", "header_sent",
        "wire_received", "wire_sent",
    )  # fmt: skip

    def __init__(self) -> None:
        self.wire_received = 0
        self.wire_sent = 0
        self.header_received = 0
        self.header_sent = 0
        #: The same headers before HPACK; HTTP/1 knows no such thing, and counts the headers again.
        self.decompressed_header_received = 0
        self.decompressed_header_sent = 0


#: Of streams that nobody counts the bytes of. Not to be changed.
NO_BYTES = BytesMeter()
