"""An upstream that speaks HTTP/2: what it may say and what it must not, to clients of either protocol."""

from __future__ import annotations

from tests.conformance.case import OK_IN_FRAMES, Case
from tests.conformance.cases import http2
from tests.conformance.cases.requests import get, post
from tests.conformance.frames import (
    AtHead,
    Await,
    Close,
    Data,
    Fields,
    GoAway,
    Head,
    Pause,
    Raw,
    Reached,
    Reset,
    Step,
)

_MEGABYTE = b"0123456789abcdef" * 65536
_GRPC: Fields = ((":status", "200"), ("content-type", "application/grpc"))
_CODES = {
    0: "NO_ERROR",
    1: "PROTOCOL_ERROR",
    2: "INTERNAL_ERROR",
    3: "FLOW_CONTROL_ERROR",
    4: "SETTINGS_TIMEOUT",
    5: "STREAM_CLOSED",
    6: "FRAME_SIZE_ERROR",
    7: "REFUSED_STREAM",
    8: "CANCEL",
    9: "COMPRESSION_ERROR",
    10: "CONNECT_ERROR",
    11: "ENHANCE_YOUR_CALM",
    12: "INADEQUATE_SECURITY",
    13: "HTTP_1_1_REQUIRED",
    99: "99",
}


def _head(status: str, *more: tuple[str, str], end: bool = True) -> Head:
    return Head(((":status", status), *more), end=end)


def _says(*steps: Step) -> tuple[tuple[Step, ...], ...]:
    """To every request."""
    return (steps,)


def _first(*steps: Step) -> tuple[tuple[Step, ...], ...]:
    """To the first request; all others are answered plainly."""
    return (steps, OK_IN_FRAMES)


def _both(
    name: str, frames: tuple[tuple[Step, ...], ...] = (OK_IN_FRAMES,), path: str = "/h2/x"
) -> tuple[Case, ...]:
    """The same from a client of either protocol."""
    return (
        Case(f"h2 upstream: {name}", get(path), frames=frames),
        Case(f"h2 upstream, h2 client: {name}", http2.get(path), frames=frames),
    )


_OPENED = _head("200", end=False)

_ANSWERS = (
    *_both("GET"),
    Case("h2 upstream: GET at a sidecar", get("/h2/x"), listener="sidecar"),
    Case("h2 upstream: POST", post("/h2/x")),
    Case("h2 upstream, h2 client: POST", http2.post("/h2/x")),
    Case(
        "h2 upstream: chunked POST",
        get("/h2/x", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n"),
    ),
    Case("h2 upstream: POST of 1 MB", post("/h2/x", body=_MEGABYTE.decode())),
    Case("h2 upstream, h2 client: POST of 1 MB", http2.post("/h2/x", body=_MEGABYTE)),
    *_both("a response of 1 MB", _says(_OPENED, Data(_MEGABYTE))),
    *_both(
        "a response of 1 MB with its length",
        _says(_head("200", ("content-length", "1048576"), end=False), Data(_MEGABYTE)),
    ),
    Case(
        "h2 upstream: HEAD", get("/h2/x", method="HEAD"), frames=_says(_head("200", ("content-length", "7")))
    ),
    Case(
        "h2 upstream, h2 client: HEAD",
        http2.get("/h2/x", method="HEAD"),
        frames=_says(_head("200", ("content-length", "7"))),
    ),
    Case(
        "h2 upstream: connection headers are not passed on",
        get("/h2/x", "Connection: keep-alive, x-a", "Keep-Alive: 5", "X-A: 1", "TE: trailers"),
    ),
    Case("h2 upstream: cookies", get("/h2/x", "Cookie: a=1; b=2")),
    Case(
        "h2 upstream, h2 client: cookies in pieces", http2.get("/h2/x", ("cookie", "a=1"), ("cookie", "b=2"))
    ),
    Case(
        "h2 upstream: trailers of a request",
        get("/h2/x", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"),
        listener="trailers",
    ),
    Case("h2 upstream, h2 client: trailers of a request", http2.post("/h2/x", trailers=(("x-t", "1"),))),
    *_both("no body", _says(_head("200"))),
    *_both("an empty body", _says(_OPENED, Pause(0.05), Data(b""))),
    *_both("204", _says(_head("204"))),
    *_both("304", _says(_head("304", ("content-length", "5")))),
    *_both("503", _says(_head("503"))),
    *_both("103", _says(_head("103", ("link", "x"), end=False), *OK_IN_FRAMES)),
    *_both("100", _says(_head("100", end=False), *OK_IN_FRAMES)),
    *_both("trailers", _says(_OPENED, Data(b"abc", end=False), Head((("x-t", "1"),)))),
    *_both("trailers without a body", _says(_OPENED, Head((("x-t", "1"),)))),
    *_both("cookies set", _says(_head("200", ("set-cookie", "a=1"), ("set-cookie", "b=2")))),
    *_both("a header twice", _says(_head("200", ("x-a", "1"), ("x-a", "2")))),
    *_both("timeout", _says(Pause(0.5), *OK_IN_FRAMES), "/h2short"),
    *_both("timeout after the head", _says(_OPENED, Pause(0.5), Data(b"abc")), "/h2short"),
    Case(
        "h2 upstream: answers before the body",
        get("/h2/x", "Content-Length: 9", method="POST", body="abc"),
        frames=_says(AtHead(), *OK_IN_FRAMES),
        answers=0,
    ),
    Case(
        "h2 upstream, h2 client: answers before the body",
        (Head(http2.fields("/h2/x", method="POST"), end=False), Data(b"abc", end=False)),
        frames=_says(AtHead(), *OK_IN_FRAMES),
    ),
    Case(
        "h2 upstream, h2 client: answers, then resets with NO_ERROR",
        (Head(http2.fields("/h2/x", method="POST"), end=False), Data(b"abc", end=False)),
        frames=_says(AtHead(), *OK_IN_FRAMES, Pause(0.05), Reset(0)),
    ),
    Case(
        "h2 upstream: the client leaves", get("/h2/x"), frames=_says(Pause(0.3), *OK_IN_FRAMES), leaves=True
    ),
    Case(
        "h2 upstream, h2 client: the client resets",
        (*http2.get("/h2/x"), Reached(), Reset(8)),
        frames=_says(Pause(0.3), *OK_IN_FRAMES),
    ),
    Case(
        "h2 upstream, h2 client: the client resets amid the answer",
        (*http2.get("/h2/x"), Await(1, "head"), Reset(8)),
        frames=_says(_OPENED, Pause(0.3), Data(b"abc")),
    ),
    Case(
        "h2 upstream, h2 client: two requests", (*http2.get("/h2/x"), Await(1), *http2.get("/h2/y", stream=3))
    ),
)

_RESETS = tuple(
    case
    for code, name in _CODES.items()
    for case in (
        *_both(f"resets with {name}", _says(Reset(code))),
        Case(
            f"h2 upstream: resets amid the body with {name}",
            get("/h2/x"),
            frames=_says(_OPENED, Data(b"half", end=False), Pause(0.02), Reset(code)),
        ),
    )
)

_ENDS = (
    *_both("resets amid the body", _says(_OPENED, Data(b"half", end=False), Pause(0.02), Reset(2))),
    *_both("closes", _says(Close())),
    *_both("closes amid the body", _says(_OPENED, Data(b"half", end=False), Pause(0.02), Close())),
    *_both("GOAWAY, then answers", _says(GoAway(), *OK_IN_FRAMES)),
    *_both("GOAWAY, not looked at", _says(GoAway(below=True))),
    *_both("GOAWAY with an error, not looked at", _says(GoAway(code=2, below=True))),
    *_both("GOAWAY behind the answer", _says(*OK_IN_FRAMES, GoAway())),
    *_both("GOAWAY, then a close", _says(GoAway(), Pause(0.02), Close())),
)

_RETRIES = (
    *_both("refused stream, retried", _first(Reset(7)), "/h2r/refused"),
    *_both("cancelled, not retried", _first(Reset(8)), "/h2r/refused"),
    *_both("reset, retried", _first(Reset(2)), "/h2r/reset"),
    *_both("refused stream, retry on reset", _first(Reset(7)), "/h2r/reset"),
    *_both("refused for ever", _says(Reset(7)), "/h2r/refused"),
    *_both("GOAWAY, retry on refused-stream", _first(GoAway(below=True)), "/h2r/refused"),
    *_both("GOAWAY, retry on reset", _first(GoAway(below=True)), "/h2r/reset"),
    *_both("503, retried", _first(_head("503")), "/h2r/5xx"),
    *_both("reset, retry on 5xx", _first(Reset(2)), "/h2r/5xx"),
    *_both("close, retry on 5xx", _first(Close()), "/h2r/5xx"),
    *_both("a header asks for it", _first(_head("200", ("x-again", "1"))), "/h2r/headers"),
    *_both(
        "reset amid the body, not retried",
        _first(_OPENED, Data(b"half", end=False), Pause(0.02), Reset(2)),
        "/h2r/5xx",
    ),
    Case("h2 upstream, h2 client: a POST is retried", http2.post("/h2r/5xx"), frames=_first(_head("503"))),
    Case(
        "h2 upstream, h2 client: trailers are retried",
        http2.post("/h2r/5xx", trailers=(("x-t", "1"),)),
        frames=_first(_head("503")),
    ),
)

_STATUSES = tuple(
    case
    for status in (0, 1, 2, 4, 5, 8, 13, 14, 16, 99)
    for case in (
        Case(
            f"h2 upstream gRPC: status {status} in trailers",
            http2.call("/h2/x"),
            frames=_says(
                Head(_GRPC, end=False),
                Data(bytes(5), end=False),
                Head((("grpc-status", str(status)), ("grpc-message", "m"))),
            ),
        ),
        Case(
            f"h2 upstream gRPC: status {status} alone",
            http2.call("/h2/x"),
            frames=_says(Head((*_GRPC, ("grpc-status", str(status))))),
        ),
        Case(
            f"h2 upstream gRPC: status {status}, may be retried",
            http2.call("/h2r/grpc"),
            frames=_first(Head((*_GRPC, ("grpc-status", str(status))))),
        ),
    )
)
_CALLS = (
    *_STATUSES,
    Case(
        "h2 upstream gRPC: status 14 in trailers, may be retried",
        http2.call("/h2r/grpc"),
        frames=_first(Head(_GRPC, end=False), Head((("grpc-status", "14"),))),
    ),
    Case(
        "h2 upstream gRPC: no status",
        http2.call("/h2/x"),
        frames=_says(Head(_GRPC, end=False), Data(bytes(5))),
    ),
    Case("h2 upstream gRPC: 503", http2.call("/h2/x"), frames=_says(_head("503"))),
    Case("h2 upstream gRPC: resets", http2.call("/h2/x"), frames=_says(Reset(2))),
    Case("h2 upstream gRPC: resets with CANCEL", http2.call("/h2/x"), frames=_says(Reset(8))),
    Case(
        "h2 upstream gRPC: resets amid the messages",
        http2.call("/h2/x"),
        frames=_says(Head(_GRPC, end=False), Data(bytes(5), end=False), Pause(0.02), Reset(2)),
    ),
    Case("h2 upstream gRPC: closes", http2.call("/h2/x"), frames=_says(Close())),
    Case("h2 upstream gRPC: timeout", http2.call("/h2short"), frames=_says(Pause(0.5), *OK_IN_FRAMES)),
)

_MALFORMED: dict[str, Fields] = {
    "no status": (("x-a", "b"),),
    "status abc": ((":status", "abc"),),
    "status 99": ((":status", "99"),),
    "status 600": ((":status", "600"),),
    "status 1000": ((":status", "1000"),),
    "two statuses": ((":status", "200"), (":status", "201")),
    "a status behind a header": (("x-a", "b"), (":status", "200")),
    ":path in a response": ((":status", "200"), (":path", "/")),
    "an upper-case name": ((":status", "200"), ("X-Upper", "1")),
    "connection": ((":status", "200"), ("connection", "close")),
    "transfer-encoding": ((":status", "200"), ("transfer-encoding", "chunked")),
    "upgrade": ((":status", "200"), ("upgrade", "websocket")),
    "a line break": ((":status", "200"), ("x-a", "b\r\nx-c: d")),
    "a NUL": ((":status", "200"), ("x-a", "b\0c")),
    "an empty name": ((":status", "200"), ("", "b")),
    "a blank in a name": ((":status", "200"), ("x a", "b")),
    "blanks around a value": ((":status", "200"), ("x-a", " b ")),
    "two lengths": ((":status", "200"), ("content-length", "2"), ("content-length", "3")),
    "a bad length": ((":status", "200"), ("content-length", "abc")),
    "101": ((":status", "101"),),
    "a huge header": ((":status", "200"), ("x-huge", "a" * 70000)),
    "101 headers": ((":status", "200"), *((f"x-{number}", "1") for number in range(101))),
}

_BAD = (
    *(
        Case(f"h2 upstream: malformed, {name}", get(path), frames=_says(Head(fields)))
        for name, fields in _MALFORMED.items()
        for path in ("/h2/x",)
    ),
    *(
        Case(
            f"h2 upstream, lenient: malformed, {name}",
            get("/h2lenient"),
            frames=_says(Head(_MALFORMED[name])),
        )
        for name in ("no status", "an upper-case name", "connection", "two lengths")
    ),
    *_both(
        "less than content-length", _says(_head("200", ("content-length", "9"), end=False), Data(b"half"))
    ),
    *_both(
        "more than content-length", _says(_head("200", ("content-length", "2"), end=False), Data(b"too long"))
    ),
    *_both(
        "trailers with a pseudo header",
        _says(_OPENED, Data(b"abc", end=False), Pause(0.02), Head(((":status", "200"),))),
    ),
    *_both("data before the head", _says(Data(b"abc"))),
    *_both("PUSH_PROMISE", _says(Raw(5, 4, b"\0\0\0\2\x82"))),
    *_both("HPACK that nobody knows", _says(Raw(1, 5, b"\xff\xff\xff\xff\xff\xff"))),
    *_both("a frame that is too large", _says(_OPENED, Pause(0.02), Raw(0, 1, bytes(20000)))),
    *_both("WINDOW_UPDATE of 0", _says(Raw(8, 0, bytes(4)))),
    *_both("an unknown frame", _says(Raw(99, 0, b"abc"), *OK_IN_FRAMES)),
    *_both("no HTTP/2 at all", _says(Raw(0x48, 0x54, b"garbage"), Close())),
)

CASES = (*_ANSWERS, *_RESETS, *_ENDS, *_RETRIES, *_CALLS, *_BAD)
