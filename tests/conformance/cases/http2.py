"""Clients that speak HTTP/2, before an upstream that speaks HTTP/1.1."""

from __future__ import annotations

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases.requests import CLOSE, RESET, answer, empty, slow, status
from tests.conformance.frames import Await, Close, Data, Fields, Head, Pause, Raw, Reached, Reset, Step

_GRPC: Fields = (("content-type", "application/grpc"), ("te", "trailers"))
_MEGABYTE = b"0123456789abcdef" * 65536
_CHUNKED = ("Transfer-Encoding: chunked",)


def fields(path: str, *more: tuple[str, str], method: str = "GET", host: str = "gs.xebia.com") -> Fields:
    """The fields of a request."""
    pseudo = ((":method", method), (":scheme", "http"), (":authority", host), (":path", path))
    return (*pseudo, ("user-agent", "t"), *more)


def get(
    path: str,
    *more: tuple[str, str],
    method: str = "GET",
    host: str = "gs.xebia.com",
    stream: int = 1,
) -> tuple[Step, ...]:
    """A request without a body."""
    return (Head(fields(path, *more, method=method, host=host), stream=stream),)


def post(path: str, *more: tuple[str, str], body: bytes = b"abc", trailers: Fields = ()) -> tuple[Step, ...]:
    """A request with a body."""
    head = Head(fields(path, *more, method="POST"), end=False)
    if trailers:
        return (head, Data(body, end=False), Head(trailers))
    return (head, Data(body))


def apart(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same, but that the upstream has the head when the rest follows."""
    return (steps[0], Reached(), *steps[1:])


def call(path: str, *more: tuple[str, str], host: str = "gs.xebia.com") -> tuple[Step, ...]:
    """A gRPC call with an empty message."""
    return Head(fields(path, *_GRPC, *more, method="POST", host=host), end=False), Data(bytes(5))


def bare_call(path: str, *more: tuple[str, str], host: str = "gs.xebia.com") -> tuple[Step, ...]:
    """A gRPC call without a message: what is answered without an upstream is not answered amid its body."""
    return (Head(fields(path, *_GRPC, *more, method="POST", host=host)),)


def _bare(*each: tuple[str, str], end: bool = True) -> tuple[Step, ...]:
    """A request of these fields alone."""
    return (Head(each, end=end),)


_M, _S, _A, _P = (":method", "GET"), (":scheme", "http"), (":authority", "gs.xebia.com"), (":path", "/x")
_GRPC_OK = answer("200 OK", "Content-Type: application/grpc", *_CHUNKED, body="5\r\n\0\0\0\0\0\r\n0\r\n\r\n")

_PLAIN = (
    Case("h2: GET", get("/x")),
    Case("h2: GET at a sidecar", get("/x"), listener="sidecar"),
    Case("h2: POST", post("/x")),
    Case("h2: POST with content-length", post("/x", ("content-length", "3"))),
    Case("h2: POST with an empty body", post("/x", body=b"")),
    Case("h2: POST of 1 MB", post("/x", body=_MEGABYTE)),
    Case("h2: HEAD", get("/x", method="HEAD")),
    Case(
        "h2: HEAD with content-length from upstream",
        get("/x", method="HEAD"),
        answer("200 OK", "Content-Length: 7"),
    ),
    Case("h2: OPTIONS *", get("*", method="OPTIONS")),
    Case("h2: an unknown method", get("/x", method="FROB")),
    Case("h2: trailers", post("/x", trailers=(("x-t", "1"),))),
    Case("h2: trailers on to an upstream", post("/x", trailers=(("x-t", "1"),)), listener="trailers"),
    Case(
        "h2: trailers with a pseudo header",
        (Head(fields("/x"), end=False), Reached(), Head(((":path", "/y"),))),
    ),
    Case(
        "h2: a second head that does not end",
        (Head(fields("/x"), end=False), Reached(), Head((("x-t", "1"),), end=False)),
    ),
    Case(
        "h2: the upstream's trailers",
        get("/x"),
        answer("200 OK", *_CHUNKED, body="3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"),
    ),
    Case("h2: response in chunks", get("/x"), answer("200 OK", *_CHUNKED, body="3\r\nabc\r\n0\r\n\r\n")),
    Case("h2: response until close", get("/x"), answer("200 OK", body="until close", then="close")),
    Case("h2: 204", get("/x"), answer("204 No Content")),
    Case("h2: 304", get("/x"), answer("304 Not Modified", "Content-Length: 5")),
    Case("h2: 404 of the upstream", get("/x"), status(404)),
    Case("h2: 103", get("/x"), Answer(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK.raw)),
    Case("h2: expect 100-continue", post("/x", ("expect", "100-continue"))),
    Case(
        "h2: response with connection headers",
        get("/x"),
        empty(200, "Connection: keep-alive, x-a", "X-A: 1", "Keep-Alive: 5"),
    ),
    Case("h2: response with upper-case headers", get("/x"), empty(200, "X-UPPER: Value")),
    Case("h2: response with cookies", get("/x"), empty(200, "Set-Cookie: a=1", "Set-Cookie: b=2")),
    Case(
        "h2: a response of 1 MB",
        get("/x"),
        answer("200 OK", f"Content-Length: {len(_MEGABYTE)}", body=_MEGABYTE.decode()),
    ),
    Case("h2: cookies in pieces", get("/x", ("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3"))),
    Case("h2: a header twice", get("/x", ("x-a", "1"), ("x-a", "2"))),
    Case("h2: an empty header", get("/x", ("x-a", ""))),
    Case("h2: x-forwarded-for", get("/x", ("x-forwarded-for", "1.2.3.4"))),
    Case("h2: x-forwarded-for at a sidecar", get("/x", ("x-forwarded-for", "1.2.3.4")), listener="sidecar"),
    Case("h2: a request id", get("/x", ("x-request-id", "mine")), listener="sidecar"),
    Case("h2: a query and a fragment", get("/x?a=b#c")),
    Case("h2: query", get("/x?a=b&c=%20d")),
    Case("h2: scheme https", _bare(_M, (":scheme", "https"), _A, _P)),
    Case("h2: scheme ftp", _bare(_M, (":scheme", "ftp"), _A, _P)),
    Case("h2: host instead of :authority", _bare(_M, _S, _P, ("host", "gs.xebia.com"))),
    Case("h2: host and :authority", _bare(_M, _S, _A, _P, ("host", "other.com"))),
    Case("h2: te trailers", get("/x", ("te", "trailers"))),
    Case("h2: via and a request id in the response", get("/x"), listener="via"),
    Case("h2: via in a local reply", get("/direct"), listener="via"),
    Case("h2: server is appended", get("/x"), listener="server-append"),
    Case("h2: two requests", (*get("/x"), *get("/y", stream=3))),
    Case("h2: one after the other", (*get("/x"), Await(1), *get("/y", stream=3))),
    Case("h2: stream ids with a gap", (*get("/x", stream=5), Await(5), *get("/y", stream=11))),
)

_LOCAL = (
    Case("h2: direct response", get("/direct")),
    Case("h2: direct response without a body", get("/empty")),
    Case("h2: HEAD on a direct response", get("/direct", method="HEAD")),
    Case("h2: direct response to a POST", post("/direct")),
    Case("h2: redirect", get("/redirect?q=1")),
    Case("h2: redirect to https", get("/x", host="secure.com")),
    Case("h2: no virtual host", get("/x", host="nobody.com")),
    Case("h2: no endpoints", get("/noeps")),
    Case("h2: no healthy upstream", get("/gone")),
    Case("h2: connection refused", get("/refused")),
    Case("h2: no more may wait", get("/full")),
    Case("h2: route timeout", get("/short"), slow(0.3)),
    Case(
        "h2: timeout after the head",
        get("/short"),
        answer("200 OK", "Content-Length: 9", body="abc", then="hang"),
    ),
    Case("h2: idle timeout of a route", get("/idle"), slow(0.3)),
    Case("h2: idle timeout of a manager", get("/x"), slow(0.4), listener="idle"),
    Case(
        "h2: idle in the midst of a request", (Head(fields("/x", method="POST"), end=False),), listener="idle"
    ),
    Case("h2: request timeout", (Head(fields("/x", method="POST"), end=False),), listener="request-time"),
    Case("h2: upstream closes", get("/x"), CLOSE),
    Case("h2: upstream resets", get("/x"), RESET),
    Case(
        "h2: upstream closes amid the body",
        get("/x"),
        answer("200 OK", "Content-Length: 9", body="abc", then="close"),
    ),
    Case("h2: upstream speaks no HTTP", get("/x"), Answer(b"garbage\r\n\r\n", then="hang")),
    Case(
        "h2: upstream answers before the body",
        (Head(fields("/x", method="POST"), end=False), Data(b"abc", end=False)),
        Answer(b"", before_body=OK.raw),
    ),
    Case(
        "h2: local reply in the midst of a body",
        (Head(fields("/direct", method="POST"), end=False), Data(b"abc", end=False)),
    ),
)

_CALLS = (
    Case("h2 gRPC: a call", call("/x"), _GRPC_OK),
    Case(
        "h2 gRPC: trailers of HTTP/1",
        call("/x"),
        answer(
            "200 OK",
            "Content-Type: application/grpc",
            *_CHUNKED,
            body="5\r\n\0\0\0\0\0\r\n0\r\ngrpc-status: 0\r\n\r\n",
        ),
        listener="trailers",
    ),
    Case(
        "h2 gRPC: a status in the head",
        call("/x"),
        empty(200, "Content-Type: application/grpc", "grpc-status: 14", "grpc-message: away"),
    ),
    Case(
        "h2 gRPC: no virtual host",
        bare_call("/x", host="nobody.com"),
    ),
    Case("h2 gRPC: direct response", bare_call("/direct")),
    Case("h2 gRPC: direct response to a call with a message", call("/direct")),
    Case("h2 gRPC: redirect", bare_call("/redirect")),
    Case("h2 gRPC: no endpoints", bare_call("/noeps")),
    Case("h2 gRPC: no healthy upstream", bare_call("/gone")),
    Case("h2 gRPC: connection refused", bare_call("/refused")),
    Case("h2 gRPC: no more may wait", bare_call("/full")),
    Case("h2 gRPC: route timeout", call("/short"), slow(0.3)),
    Case("h2 gRPC: grpc-timeout", call("/grpc-timeout", ("grpc-timeout", "100m")), slow(0.3)),
    Case("h2 gRPC: grpc-timeout that is none", call("/grpc-timeout", ("grpc-timeout", "soon"))),
    Case("h2 gRPC: grpc-timeout of hours", call("/grpc-timeout", ("grpc-timeout", "1H")), _GRPC_OK),
    Case("h2 gRPC: upstream closes", call("/x"), CLOSE),
    Case("h2 gRPC: upstream says 503", call("/x"), status(503)),
    Case("h2 gRPC: upstream says 200 without a type", call("/x")),
    Case("h2 gRPC: a route for gRPC alone", call("/only-grpc"), _GRPC_OK),
    Case("h2 gRPC: a route for gRPC alone, asked by others", get("/only-grpc")),
    Case(
        "h2 gRPC: application/grpc+proto",
        get("/noeps", ("content-type", "application/grpc+proto"), method="POST"),
    ),
    Case(
        "h2 gRPC: application/grpc-web",
        get("/noeps", ("content-type", "application/grpc-web"), method="POST"),
    ),
)

_REFUSED = (
    Case("h2: an upper-case name", get("/x", ("X-Upper", "1"))),
    Case("h2: connection", get("/x", ("connection", "close"))),
    Case("h2: keep-alive", get("/x", ("keep-alive", "1"))),
    Case("h2: proxy-connection", get("/x", ("proxy-connection", "close"))),
    Case("h2: transfer-encoding", post("/x", ("transfer-encoding", "chunked"))),
    Case("h2: upgrade", get("/x", ("upgrade", "websocket"))),
    Case("h2: te gzip", get("/x", ("te", "gzip"))),
    Case("h2: te trailers, gzip", get("/x", ("te", "trailers, gzip"))),
    Case("h2: an empty name", get("/x", ("", "1"))),
    Case("h2: a blank in a name", get("/x", ("x a", "1"))),
    Case("h2: a colon in a name", get("/x", ("x:a", "1"))),
    Case("h2: an unknown pseudo header", _bare(_M, _S, _A, _P, (":other", "1"))),
    Case("h2: :status in a request", _bare(_M, _S, _A, _P, (":status", "200"))),
    Case("h2: a pseudo header behind others", _bare(_M, _S, _A, ("x-a", "1"), _P)),
    Case("h2: :path twice", _bare(_M, _S, _A, _P, _P)),
    Case("h2: :method twice", _bare(_M, _M, _S, _A, _P)),
    Case("h2: :authority twice", _bare(_M, _S, _A, _A, _P)),
    Case("h2: no :path", _bare(_M, _S, _A)),
    Case("h2: an empty :path", _bare(_M, _S, _A, (":path", ""))),
    Case("h2: no :method", _bare(_S, _A, _P)),
    Case("h2: an empty :method", _bare((":method", ""), _S, _A, _P)),
    Case("h2: no :scheme", _bare(_M, _A, _P)),
    Case("h2: no :authority", _bare(_M, _S, _P)),
    Case("h2: an empty :authority", _bare(_M, _S, (":authority", ""), _P)),
    Case("h2: :path that is no path", _bare(_M, _S, _A, (":path", "x"))),
    Case("h2: :path with a blank", _bare(_M, _S, _A, (":path", "/a b"))),
    Case("h2: :authority with a user", _bare(_M, _S, (":authority", "a@gs.xebia.com"), _P)),
    Case("h2: :authority with a blank", _bare(_M, _S, (":authority", "gs xebia"), _P)),
    Case("h2: a method with a blank", _bare((":method", "G ET"), _S, _A, _P)),
    Case("h2: a line break in a value", get("/x", ("x-a", "1\r\nx-b: 2"))),
    Case("h2: a NUL in a value", get("/x", ("x-a", "1\0"))),
    Case("h2: blanks around a value", get("/x", ("x-a", " 1 "))),
    Case("h2: a tab in a value", get("/x", ("x-a", "1\t2"))),
    Case("h2: high bytes in a value", get("/x", ("x-a", "\xe9"))),
    Case("h2: a bad content-length", post("/x", ("content-length", "abc"))),
    Case("h2: two content-lengths", post("/x", ("content-length", "3"), ("content-length", "4"))),
    Case("h2: the same content-length twice", post("/x", ("content-length", "3"), ("content-length", "3"))),
    Case("h2: less than content-length", apart(post("/x", ("content-length", "5")))),
    Case("h2: more than content-length", apart(post("/x", ("content-length", "2")))),
    Case("h2: content-length without a body", get("/x", ("content-length", "5"))),
    Case("h2: CONNECT", _bare((":method", "CONNECT"), (":authority", "gs.xebia.com:80"), end=False)),
    Case("h2: an upper-case name, to a lenient manager", get("/x", ("X-Upper", "1")), listener="inner"),
    Case("h2: connection, to a lenient manager", get("/x", ("connection", "close")), listener="inner"),
    Case("h2: no :path, to a lenient manager", _bare(_M, _S, _A), listener="inner"),
    Case(
        "h2: less than content-length, to a lenient manager",
        apart(post("/x", ("content-length", "5"))),
        listener="inner",
    ),
    Case("h2: underscores", get("/x", ("x_a", "1"))),
)

_LIMITS = (
    Case("h2: a header of 70 KB", get("/x", ("x-a", "a" * 70000))),
    Case("h2: a header of 50 KB", get("/x", ("x-a", "a" * 50000))),
    Case("h2: 1.6 KB of 1 KB", get("/x", ("x-a", "a" * 1500)), listener="small-heads"),
    Case("h2: below 1 KB", get("/x", ("x-a", "a" * 700)), listener="small-heads"),
    Case("h2: 101 headers", get("/x", *((f"x-{number}", "1") for number in range(101)))),
    Case(
        "h2: too many headers",
        get("/x", *((f"x-{number}", "1") for number in range(5))),
        listener="few-headers",
    ),
    Case(
        "h2: enough headers",
        get("/x", *((f"x-{number}", "1") for number in range(2))),
        listener="few-headers",
    ),
    Case(
        "h2: more streams than allowed",
        (*get("/x"), *get("/y", stream=3), Reached(), *get("/z", stream=5)),
        slow(0.1),
        listener="few-streams",
    ),
    Case(
        "h2: as many streams as allowed",
        (*get("/x"), Await(1), *get("/y", stream=3), Await(3), *get("/z", stream=5)),
        listener="few-streams",
    ),
    Case(
        "h2: the last request of a connection",
        (*get("/x"), Await(1), *get("/y", stream=3)),
        listener="two-requests",
    ),
    Case("h2: below the last request", get("/x"), listener="two-requests"),
    Case(
        "h2: a request behind the last one",
        (*get("/x"), Await(1), *get("/y", stream=3), Await(3), *get("/z", stream=5)),
        listener="two-requests",
    ),
)

_FATES = (
    Case("h2: the client resets", (*get("/x"), Reached(), Reset(8)), slow(0.3)),
    Case(
        "h2: the client resets in the midst of its body",
        (Head(fields("/x", method="POST"), end=False), Data(b"abc", end=False), Reached(), Reset(8)),
    ),
    Case("h2: the client resets with NO_ERROR", (*get("/x"), Reached(), Reset(0)), slow(0.3)),
    Case(
        "h2: the client resets in the midst of the answer",
        (*get("/x"), Await(1, "head"), Reset(8)),
        answer("200 OK", "Content-Length: 9", body="abc", then="hang"),
    ),
    Case("h2: the client leaves", (*get("/x"), Reached(), Close()), slow(0.3)),
    Case(
        "h2: the client leaves in the midst of its body",
        (Head(fields("/x", method="POST"), end=False), Data(b"abc", end=False), Reached(), Close()),
    ),
    Case(
        "h2: one stream fails, the other goes on", (*get("/x", ("connection", "close")), *get("/y", stream=3))
    ),
    Case(
        "h2: data on a stream that was reset",
        (Head(fields("/direct", method="POST"), end=False), Await(1, "head"), Data(b"abc")),
    ),
    Case("h2: data before a head", (Raw(0, 1, b"abc"),)),
    Case("h2: a head on stream 2", get("/x", stream=2)),
    Case("h2: a stream id that goes back", (*get("/x", stream=5), Await(5), *get("/y", stream=3))),
    Case("h2: a head on stream 0", (Raw(1, 5, b"\x82", stream=0), Await(1))),
    Case("h2: PUSH_PROMISE", (Raw(5, 4, b"\0\0\0\2\x82"), Await(1))),
    Case("h2: an unknown frame", (Raw(99, 0, b"abc", stream=0), *get("/x"))),
    Case("h2: CONTINUATION out of place", (Raw(9, 4, b"\x82"), Await(1))),
    Case("h2: a PING of the wrong size", (Raw(6, 0, b"abc", stream=0), Await(1))),
    Case("h2: SETTINGS of the wrong size", (Raw(4, 0, b"abc", stream=0), Await(1))),
    Case("h2: WINDOW_UPDATE of 0", (Raw(8, 0, bytes(4), stream=0), Await(1))),
    Case("h2: WINDOW_UPDATE too large", (Raw(8, 0, b"\x7f\xff\xff\xff", stream=0), Await(1))),
    Case("h2: a block that HPACK does not know", (Raw(1, 5, b"\xff\xff\xff\xff\xff\xff"), Await(1))),
    Case(
        "h2: a frame that is too large",
        (Head(fields("/x", method="POST"), end=False), Reached(), Raw(0, 1, bytes(20000))),
    ),
    Case("h2: PRIORITY", (Raw(2, 0, b"\0\0\0\0\x10"), *get("/x"))),
    Case("h2: RST_STREAM on an idle stream", (Raw(3, 0, b"\0\0\0\x08", stream=7), Await(1))),
    Case("h2: GOAWAY of the client", (*get("/x"), Raw(7, 0, bytes(8), stream=0))),
    Case("h2: PING", (Raw(6, 0, b"12345678", stream=0), *get("/x"))),
)


def _extended(*more: tuple[str, str], protocol: str = "websocket") -> Step:
    head = ((":method", "CONNECT"), (":protocol", protocol), _S, _A, (":path", "/ws"), *more)
    return Head(head, end=False)


_SWITCHED = Answer(
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", then="tunnel"
)
_WEBSOCKETS = (
    Case(
        "h2: websocket",
        (Pause(0.05), _extended(), Await(1, "head"), Data(b"ping", end=False)),
        _SWITCHED,
        listener="websocket",
    ),
    Case(
        "h2: websocket that the upstream refuses",
        (Pause(0.05), _extended()),
        status(400),
        listener="websocket",
    ),
    Case("h2: websocket that is not allowed", (_extended(),)),
    Case("h2: another protocol", (Pause(0.05), _extended(protocol="foo")), listener="websocket"),
    Case(
        "h2: websocket, the client resets",
        (Pause(0.05), _extended(), Reached(), Reset(8)),
        slow(0.3),
        listener="websocket",
    ),
    Case(
        "h2: plain CONNECT where websockets are",
        _bare((":method", "CONNECT"), _A, end=False),
        listener="websocket",
    ),
)

CASES = (*_PLAIN, *_LOCAL, *_CALLS, *_REFUSED, *_LIMITS, *_FATES, *_WEBSOCKETS)
