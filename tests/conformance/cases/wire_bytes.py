"""What the access log tells of bytes on the wire: heads, framing and all."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases import http2
from tests.conformance.cases.requests import CLOSE, answer, empty, get, post, raw
from tests.conformance.frames import Data, Head

_CHUNKED = ("Transfer-Encoding: chunked",)
_CHUNKS = "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
_TRAILERS = "3\r\nabc\r\n0\r\nX-T: 1\r\nX-U: two\r\n\r\n"
_UPGRADE = get("/ws", "Connection: Upgrade", "Upgrade: websocket")

_HTTP1 = (
    Case("bytes: GET", get("/x")),
    Case("bytes: GET in pieces", get("/x"), cut=7),
    Case("bytes: HEAD", get("/x", method="HEAD")),
    Case("bytes: blanks around values", get("/x", "X-A:\t  b   ", "X-C:d")),
    Case("bytes: lines that end with LF", get("/x").replace(b"\r\n", b"\n")),
    Case("bytes: empty lines before the request", b"\r\n\r\n" + get("/x")),
    Case("bytes: the same header twice", get("/x", "Accept: a", "Accept: b", "X-A: 1", "X-A: 2")),
    Case("bytes: POST", post("/x")),
    Case("bytes: POST in pieces", post("/x"), cut=11),
    Case("bytes: chunks", get("/x", *_CHUNKED, method="POST", body=_CHUNKS)),
    Case("bytes: trailers that end here", get("/x", *_CHUNKED, method="POST", body=_TRAILERS)),
    Case(
        "bytes: trailers passed on", get("/x", *_CHUNKED, method="POST", body=_TRAILERS), listener="trailers"
    ),
    Case("bytes: 100 KB up", post("/x", body="x" * 100_000)),
    Case("bytes: direct response", get("/direct")),
    Case("bytes: no route", raw("GET / HTTP/1.1", "Host: no.com", "User-Agent: t")),
    Case("bytes: a head that is none", get("/x", "Bad Name: 1")),
    Case("bytes: a line that is none", b"BAD\r\n\r\n"),
    Case("bytes: a length that is none", get("/x", "Content-Length: x")),
    Case("bytes: an encoding that is none", get("/x", "Transfer-Encoding: gzip")),
    Case("bytes: length and chunks", get("/x", "Content-Length: 3", *_CHUNKED)),
    Case("bytes: a host that is none", raw("GET /x HTTP/1.1", "Host: a b")),
    Case("bytes: no host", raw("GET /x HTTP/1.1", "User-Agent: t")),
    Case("bytes: a head too large", get("/x", f"X: {'x' * 61_500}")),
    Case("bytes: HTTP/1.0 refused", raw("GET /x HTTP/1.0", "Host: gs.xebia.com")),
    Case("bytes: HTTP/1.0", raw("GET /x HTTP/1.0", "Host: gs.xebia.com", "User-Agent: t"), listener="http10"),
    Case("bytes: connection: close", get("/x", "Connection: close")),
    Case("bytes: pipelined", get("/x") + get("/y") + post("/z"), answers=3),
    Case("bytes: pipelined, local", get("/x") + get("/direct"), answers=2),
    Case("bytes: one after the other", get("/x"), then=((b"{}", get("/y")),), answers=2),
    Case("bytes: refused upstream", get("/refused")),
    Case("bytes: the upstream closes", get("/x"), CLOSE),
    Case("bytes: retried", post("/retried"), empty(503), later=(OK,)),
    Case("bytes: timeout amid the response's head", get("/short"), answer("200 OK", "X-A", then="hang")),
    Case("bytes: chunked response", get("/x"), answer("200 OK", *_CHUNKED, body=_CHUNKS)),
    Case(
        "bytes: chunked response in pieces",
        get("/x"),
        replace(answer("200 OK", *_CHUNKED, body=_CHUNKS), cut=9),
    ),
    Case("bytes: response with trailers", get("/x"), answer("200 OK", *_CHUNKED, body=_TRAILERS)),
    Case(
        "bytes: response with trailers passed on",
        get("/x"),
        answer("200 OK", *_CHUNKED, body=_TRAILERS),
        listener="trailers",
    ),
    Case("bytes: response until close", get("/x"), answer("200 OK", body="all", then="close")),
    Case("bytes: response without a body", get("/x"), answer("204 No Content", "X-A: 1")),
    Case("bytes: response without headers", get("/x"), answer("204 No Content")),
    Case("bytes: not modified", get("/x"), answer("304 Not Modified", "Content-Length: 9")),
    Case("bytes: malformed response", get("/x"), answer("200 OK", "Bad Name: 1")),
    Case(
        "bytes: response cut short", get("/x"), answer("200 OK", "Content-Length: 9", body="x", then="close")
    ),
    Case("bytes: interim response", get("/x"), Answer(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK.raw)),
    Case(
        "bytes: 100 (Continue) of the proxy",
        get("/x", "Expect: 100-continue", "Content-Length: 3", method="POST"),
        then=((b"100 Continue\r\n\r\n", b"abc"),),
    ),
    Case("bytes: 100 KB down", get("/x"), answer("200 OK", "Content-Length: 100000", body="y" * 100_000)),
    Case("bytes: upgrade declined", _UPGRADE, listener="gateway"),
    Case(
        "bytes: websocket",
        _UPGRADE + b"ping",
        answer("101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket", then="tunnel"),
        listener="websocket",
        answers=0,
    ),
    Case("bytes: the client leaves", get("/x"), Answer(b"", then="hang"), leaves=True),
    Case("bytes: TCP", post("/x"), listener="tcp"),
)

_HTTP2 = (
    Case("bytes: h2 GET", http2.get("/x"), listener="http2", alpn=("h2",)),
    Case("bytes: h2 POST", http2.post("/x"), listener="http2", alpn=("h2",)),
    Case("bytes: h2 trailers", http2.post("/x", trailers=(("x-t", "1"),)), listener="http2", alpn=("h2",)),
    Case("bytes: h2 direct response", http2.get("/direct"), listener="http2", alpn=("h2",)),
    Case(
        "bytes: h2 cookies",
        http2.get("/x", ("cookie", "a=b"), ("cookie", "c=d")),
        listener="http2",
        alpn=("h2",),
    ),
    Case(
        "bytes: h2, a head of several frames",
        http2.get("/x", ("x-long", "{}" * 10_000)),
        listener="http2",
        alpn=("h2",),
    ),
    Case("bytes: h2, no route", http2.get("/x", host="no.com"), listener="http2", alpn=("h2",)),
    Case("bytes: h2 upstream, GET", get("/x"), listener="http2-upstream"),
    Case("bytes: h2 upstream, POST", post("/x"), listener="http2-upstream"),
    Case(
        "bytes: h2 upstream, trailers",
        get("/x"),
        frames=((Head(((":status", "200"),), end=False), Data(b"{}", end=False), Head((("x-t", "1"),))),),
        listener="http2-upstream",
    ),
    Case(
        "bytes: h2 upstream, head alone",
        get("/x"),
        frames=((Head(((":status", "204"), ("x-a", "b"))),),),
        listener="http2-upstream",
    ),
    Case(
        "bytes: h2 upstream, retried",
        get("/retried"),
        frames=((Head(((":status", "503"),)),), (Head(((":status", "200"), ("x-a", "b"))),)),
        listener="http2-upstream",
    ),
)

CASES = (*_HTTP1, *_HTTP2)
