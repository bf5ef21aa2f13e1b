"""The gRPC-Web filter: browsers speak gRPC without trailers, perhaps in base64; upstreams get true gRPC.

An answer's trailers become the last frame of its body; an answer that is no gRPC becomes a status and a
message.
"""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.local_reply import grpc_message, grpc_status_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minimesh.data_plane.http.header_block import Field
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream

_BINARY = frozenset({"application/grpc-web", "application/grpc-web+proto"})
_TEXT = frozenset({"application/grpc-web-text", "application/grpc-web-text+proto"})
_BINARY_ANSWER, _TEXT_ANSWER = "application/grpc-web+proto", "application/grpc-web-text+proto"
_INVALID_BASE64 = b"Bad gRPC-web request, invalid base64 data."
_FRAME_HEAD = struct.Struct(">BI")
_TRAILERS_FLAG = 0x80


class GrpcWebFilter:
    """See the module."""

    __slots__ = ("by_route", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.by_route = False

    def on_request(self, stream: Stream) -> FilterStatus:
        head = stream.head
        assert head is not None
        kind = _first(head, "content-type")
        if kind not in _BINARY and kind not in _TEXT:
            return FilterStatus.CONTINUE
        answer = _TEXT_ANSWER if _first(head, "accept") in _TEXT else _BINARY_ANSWER
        stream.filter_state = {**(stream.filter_state or {}), self.name: answer}
        if stream.request_has_body:
            head.set_body_length(-1)
        head.set_header("content-type", "application/grpc")
        head.set_header("te", "trailers")
        head.set_header("grpc-accept-encoding", "identity")
        if kind in _TEXT and stream.request_has_body:
            stream.add_request_stage(_Base64Decoder(stream))
        return FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        answer = stream.filter_state.get(self.name) if stream.filter_state else None
        if not isinstance(answer, str):
            return FilterStatus.CONTINUE
        is_grpc = _first(response, "content-type").startswith("application/grpc")
        response.set_header("content-type", answer)
        response.set_body_length(-1)
        if end_stream:
            return FilterStatus.CONTINUE
        if not is_grpc:
            stream.add_response_stage(_IntoMessage(response, stream.manager.config.buffer_limit_bytes))
            return FilterStatus.STOP_UNTIL_COMPLETE
        stream.add_response_stage(_AnswerEncoder(stream, in_base64=answer == _TEXT_ANSWER))
        return FilterStatus.CONTINUE


class _Base64Decoder:
    """A request's body, four characters at a time."""

    __slots__ = ("_rest", "_stream")

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""

    def on_data(self, data: bytes, end_stream: bool) -> bytes | None:
        data = self._rest + data
        whole = len(data) // 4 * 4
        if end_stream and whole < len(data):
            self._refuse("grpc_base_64_decode_failed_bad_size")
            return None
        self._rest = data[whole:]
        try:
            return binascii.a2b_base64(data[:whole], strict_mode=True)
        except binascii.Error:
            self._refuse("grpc_base_64_decode_failed")
            return None

    def _refuse(self, details: str) -> None:
        self._stream.send_local_reply(400, _INVALID_BASE64, details)


class _AnswerEncoder:
    """An answer's body: frames as they come, or each in base64, and at last a frame with the trailers."""

    __slots__ = ("_in_base64", "_rest", "_stream")

    def __init__(self, stream: Stream, *, in_base64: bool) -> None:
        self._stream = stream
        self._in_base64 = in_base64
        self._rest = bytearray()

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        encoded = self._frames_in_base64(data) if self._in_base64 else data
        if end_stream and self._stream.response_trailers:
            frame = _trailers_frame(self._stream.response_trailers)
            self._stream.response_trailers = ()
            encoded += binascii.b2a_base64(frame, newline=False) if self._in_base64 else frame
        return encoded

    def _frames_in_base64(self, data: bytes) -> bytes:
        """Whole frames only, each padded for itself; what is left waits for the rest of it."""
        rest = self._rest
        rest += data
        encoded = b""
        while len(rest) >= _FRAME_HEAD.size:
            _, length = _FRAME_HEAD.unpack_from(rest)
            end = _FRAME_HEAD.size + length
            if len(rest) < end:
                break
            encoded += binascii.b2a_base64(rest[:end], newline=False)
            del rest[:end]
        return encoded


class _IntoMessage:
    """Turns the body of an answer that is no gRPC into its `grpc-message`."""

    __slots__ = ("_body", "_limit_bytes", "_response")

    def __init__(self, response: ResponseHead, limit_bytes: int) -> None:
        self._response = response
        self._limit_bytes = limit_bytes
        self._body = b""

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        self._body = (self._body + data)[: self._limit_bytes]
        if end_stream:
            response = self._response
            response.set_header("grpc-message", grpc_message(self._body))
            response.set_header("grpc-status", str(grpc_status_of(response.status)))
            response.set_body_length(0)
        return b""


def _trailers_frame(trailers: Sequence[Field]) -> bytes:
    text = "".join(f"{name}:{value}\r\n" for name, value in trailers).encode("latin-1")
    return _FRAME_HEAD.pack(_TRAILERS_FLAG, len(text)) + text


def _first(head: RequestHead | ResponseHead, name: str) -> str:
    values = head.header_values(name)
    return values[0] if values else ""
