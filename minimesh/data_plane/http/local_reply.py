"""Answers that the proxy makes itself, word for word as Envoy's."""

from __future__ import annotations

from string import punctuation
from urllib.parse import quote

from minimesh.data_plane.http.header_block import Field
from minimesh.data_plane.http.http1.status_line import REASONS
from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import ResponseFields, ResponseHead

NO_HEALTHY_UPSTREAM = b"no healthy upstream"
REQUEST_TIMEOUT = b"upstream request timeout"
OVERLOADED: Field = ("x-envoy-overloaded", "true")
_GRPC_INTERNAL, _GRPC_UNAVAILABLE, _GRPC_UNKNOWN = 13, 14, 2
#: gRPC escapes only what is not printable ASCII, and the sign of the escape itself.
_UNQUOTED = punctuation.replace("%", "") + " "
_GRPC_STATUS_OF = {
    400: _GRPC_INTERNAL,
    401: 16,
    403: 7,
    404: 12,
    429: _GRPC_UNAVAILABLE,
    502: _GRPC_UNAVAILABLE,
    503: _GRPC_UNAVAILABLE,
    504: _GRPC_UNAVAILABLE,
}


def local_response(status: int, first: tuple[Field, ...] = ()) -> ResponseHead:
    """The head of a reply made here, as routes may change it; `first` are headers before all others.

    What the body brings along (`give_body`, `make_grpc`) comes behind these changes, date and server later
    still. Without a body, `content-length: 0` is the codec's to add.
    """
    return ResponseHead(status, ResponseFields(first), -1, local=True)


def give_body(response: ResponseHead, body: bytes) -> None:
    """Length, whatever a route said of it, and type, if a route has not said."""
    response.content_length = len(body)
    response.set_header("content-length", str(len(body)))
    if not response.header_values("content-type"):
        response.add_header("content-type", "text/plain")


def make_grpc(response: ResponseHead, message: bytes, grpc_status: int | None = None) -> None:
    """Make it an answer to a gRPC call: HTTP says 200, and how it went stands in the headers; no body."""
    if grpc_status is None:
        grpc_status = grpc_status_of(response.status)
    response.status = 200
    response.set_header("content-type", "application/grpc")
    response.set_header("grpc-status", str(grpc_status))
    if message:
        response.set_header("grpc-message", grpc_message(message))


def grpc_status_of(status: int) -> int:
    """What an HTTP status amounts to in gRPC."""
    return _GRPC_STATUS_OF.get(status, _GRPC_UNKNOWN)


def grpc_message(message: bytes) -> str:
    """A text as the value of `grpc-message`."""
    return quote(message, safe=_UNQUOTED)


def reset_body(reason: ResetReason, retried: bool, transport_reason: str = "") -> bytes:
    """The text for an upstream that failed before it answered."""
    words = "retried and the latest reset reason" if retried else "reset reason"
    return f"upstream connect error or disconnect/reset before headers. {words}: {reason.text}".encode()


def reset_details(reason: ResetReason, transport_reason: str, before_response: bool = True) -> str:
    """RESPONSE_CODE_DETAILS of such a failure."""
    when = "before" if before_response else "after"
    what = reason.text.replace(" ", "_")
    if transport_reason:
        what = f"{what}|{transport_reason}"
    return f"upstream_reset_{when}_response_started{{{what}}}"


def refusal_body(status: int) -> bytes:
    """What a codec's refusal says: the reason phrase."""
    return REASONS.get(status, "Unknown").encode()
