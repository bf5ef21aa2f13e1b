"""The buffer filter: a request goes on when all of its body is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """How large a request may be. None: this route's requests are not buffered."""

    max_request_bytes: int | None


class BufferFilter:
    """See the module. A larger request is answered with 413."""

    __slots__ = ("_settings", "by_route", "name")

    def __init__(self, name: str, settings: BufferSettings) -> None:
        self.name = name
        self.by_route = False
        self._settings = settings

    def on_request(self, stream: Stream) -> FilterStatus:
        own = stream.filter_config(self.name)
        limit_bytes = (own if isinstance(own, BufferSettings) else self._settings).max_request_bytes
        head = stream.head
        if limit_bytes is None or head is None or not stream.request_has_body:
            return FilterStatus.CONTINUE
        stream.limit_request_buffer(limit_bytes)
        if not head.header_values("content-length"):
            stream.add_request_stage(_Measure(head))
        return FilterStatus.STOP_UNTIL_COMPLETE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        return FilterStatus.CONTINUE


class _Measure:
    """Gives a request whose length was not known beforehand a content-length."""

    __slots__ = ("_head", "_length")

    def __init__(self, head: RequestHead) -> None:
        self._head = head
        self._length = 0

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        self._length += len(data)
        if end_stream:
            self._head.set_body_length(self._length)
        return data
