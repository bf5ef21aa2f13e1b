"""HTTP filters in front of the router, one by one."""

from __future__ import annotations

from functools import partial

from tests.conformance.case import Case
from tests.conformance.cases.requests import answer, get, post, raw

_TEXT = answer("200 OK", "Content-Type: text/plain", "Content-Length: 40", body="t" * 40)


def _chunks(path: str, *chunks: str) -> bytes:
    body = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in (*chunks, ""))
    return get(path, "Transfer-Encoding: chunked", method="POST", body=body)


_buffer = partial(Case, listener="buffer")
BUFFER = (
    _buffer("buffer: no body", get("/x")),
    _buffer("buffer: as much as may be", post("/x", body="a" * 10)),
    _buffer("buffer: too much", post("/x", body="a" * 11)),
    _buffer("buffer: chunked gets a length", _chunks("/x", "abc", "def")),
    _buffer("buffer: chunked and empty", _chunks("/x")),
    _buffer("buffer: chunked, too much", _chunks("/x", "abcdefgh", "abcdefgh")),
    _buffer("buffer: in pieces", post("/x", body="abcdefgh"), cut=20),
    _buffer("buffer: more on a route", post("/more", body="a" * 11)),
    _buffer("buffer: too much for that route", post("/more", body="a" * 21)),
    _buffer("buffer: off on a route", post("/off", body="a" * 11)),
    _buffer("buffer: switched off on a route", post("/switched-off", body="a" * 11)),
    _buffer("buffer: too much for a direct response", post("/direct", body="a" * 11)),
    _buffer("buffer: too much of gRPC", post("/x", "Content-Type: application/grpc", body="a" * 11)),
)

_mutated = partial(Case, listener="header-mutation")
_IN = ("X-In: in", "X-B: old", "X-C: old", "X-D: old", "X-Rm: 1", "X-Pre-1: a", "X-Pre-2: b")
_TRAILED = answer(
    "200 OK",
    "X-Up: 1",
    "Transfer-Encoding: chunked",
    body="3\r\nabc\r\n0\r\nX-T: 1\r\nX-Gone: 1\r\n\r\n",
)
HEADER_MUTATION = (
    _mutated("mutation: every action", get("/known?a=1&b=2&c=3&d=4&rm=5", *_IN)),
    _mutated("mutation: nothing there", get("/known")),
    _mutated("mutation: query without values", get("/known?novalue&a=x+y")),
    _mutated("mutation: query with escapes", get("/known?q=%20%26")),
    _mutated("mutation: all levels", get("/level")),
    _mutated("mutation: switched off on a route", get("/off?a=1", *_IN)),
    _mutated("mutation: direct response", get("/direct")),
    _mutated("mutation: no route", get("/nowhere")),
    _mutated("mutation: no host", raw("GET /x HTTP/1.1")),
    _mutated("mutation: no HTTP", b"BAD\r\n\r\n"),
    _mutated("mutation: upgrade refused", get("/known", "Connection: upgrade", "Upgrade: foo")),
    _mutated("mutation: upstream's headers", get("/known"), answer("200 OK", "X-Up: 1", "Content-Length: 0")),
    _mutated("mutation: response trailers", get("/known"), _TRAILED),
)

_limited = partial(Case, listener="local-ratelimit")
LOCAL_RATE_LIMIT = (
    _limited("limit: one", get("/one") * 2, answers=2),
    _limited("limit: three, with headers", get("/three") * 4, answers=4),
    _limited("limit: another status", get("/status") * 2, answers=2),
    _limited("limit: gRPC", get("/grpc", "Content-Type: application/grpc") * 2, answers=2),
    _limited("limit: not enforced", get("/told") * 2, answers=2),
    _limited("limit: for each connection", get("/connection") * 2, answers=2),
    _limited("limit: by descriptor", get("/user", "X-User: bob") * 2, answers=2),
    _limited("limit: no such descriptor", get("/user", "X-User: al") + get("/user"), answers=2),
    _limited("limit: by the virtual host's descriptor", get("/host", "X-User: bob") * 2, answers=2),
    _limited("limit: none", get("/none") * 2, answers=2),
)

_compressed = partial(Case, listener="compressor")
COMPRESSOR = (
    *(
        _compressed(
            f"compressor: accept-encoding {accepted}", get("/x", f"Accept-Encoding: {accepted}"), _TEXT
        )
        for accepted in (
            "br",
            "GZIP",
            "identity",
            "gzip;q=0",
            "gzip;q=0.5, identity",
            "gzip;q=0,*",
            "gzip;q=x",
            "",
        )
    ),
    _compressed("compressor: no accept-encoding", get("/x"), _TEXT),
    _compressed(
        "compressor: too short",
        get("/x", "Accept-Encoding: gzip"),
        answer("200 OK", "Content-Type: text/plain", "Content-Length: 29", body="t" * 29),
    ),
    *(
        _compressed(
            f"compressor: {header}",
            get("/x", "Accept-Encoding: gzip"),
            answer("200 OK", header, "Content-Length: 40", body="t" * 40),
        )
        for header in (
            "Content-Type: image/png",
            'Etag: W/"1"',
            "Cache-Control: max-age=1, no-transform",
            "Content-Encoding: br",
        )
    ),
    _compressed("compressor: HEAD", get("/x", "Accept-Encoding: gzip", method="HEAD"), _TEXT),
    _compressed(
        "compressor: 304", get("/x", "Accept-Encoding: gzip"), answer("304 Not Modified", "Vary: Origin")
    ),
    _compressed("compressor: 204", get("/x", "Accept-Encoding: gzip"), answer("204 No Content")),
    _compressed("compressor: off on a route", get("/off", "Accept-Encoding: gzip"), _TEXT),
    _compressed("compressor: short local reply", get("/direct", "Accept-Encoding: gzip")),
)

_faulty = partial(Case, listener="fault")
FAULT = (
    _faulty("fault filter: status asked for", get("/x", "X-Envoy-Fault-Abort-Request: 418")),
    _faulty("fault filter: no such status", get("/x", "X-Envoy-Fault-Abort-Request: 600")),
    _faulty("fault filter: gRPC status asked for", get("/x", "X-Envoy-Fault-Abort-Grpc-Request: 5")),
    _faulty(
        "fault filter: gRPC status asked for by gRPC",
        post("/x", "Content-Type: application/grpc", "X-Envoy-Fault-Abort-Grpc-Request: 5"),
    ),
    _faulty(
        "fault filter: less than it could",
        get("/x", "X-Envoy-Fault-Abort-Request: 418", "X-Envoy-Fault-Abort-Request-Percentage: 0"),
    ),
    _faulty("fault filter: delay asked for", get("/x", "X-Envoy-Fault-Delay-Request: 20")),
    _faulty(
        "fault filter: slow response asked for", get("/x", "X-Envoy-Fault-Throughput-Response: 1"), _TEXT
    ),
    _faulty("fault filter: none at once", get("/none-at-once")),
    _faulty("fault filter: other node", get("/nodes", "X-Envoy-Downstream-Service-Node: n3")),
    _faulty("fault filter: node", get("/nodes", "X-Envoy-Downstream-Service-Node: n2")),
)

_shared = partial(Case, listener="cors")
_ORIGIN, _ELSEWHERE = "Origin: https://a.com", "Origin: https://z.com"
_ASKS = ("Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: x-q")
CORS = (
    *(
        _shared(f"cors levels: preflight of {path}{where}", get(path, origin, *_ASKS, method="OPTIONS"))
        for path in ("/x", "/methods", "/shadow", "/refusing")
        for where, origin in (("", _ORIGIN), (" from elsewhere", _ELSEWHERE))
    ),
    _shared("cors levels: asterisk, nothing asked", get("/x", _ORIGIN, _ASKS[0], method="OPTIONS")),
    _shared("cors levels: simple", get("/methods", _ORIGIN)),
    _shared("cors levels: simple, shadowed", get("/shadow", _ORIGIN)),
)

_browser = partial(Case, listener="grpc-web")
_FRAME, _FRAME_TEXT = "\0\0\0\0\2hi", "AAAAAAJoaQ=="
_WEB, _WEB_TEXT = "Content-Type: application/grpc-web+proto", "Content-Type: application/grpc-web-text"
_ANSWERED = answer(
    "200 OK",
    "Content-Type: application/grpc",
    "Transfer-Encoding: chunked",
    body="7\r\n\0\0\0\0\2yo\r\n0\r\nGrpc-Status: 0\r\nGrpc-Message: fine\r\n\r\n",
)
GRPC_WEB = (
    _browser("grpc-web: binary", post("/s/m", _WEB, body=_FRAME), _ANSWERED),
    _browser("grpc-web: text", post("/s/m", _WEB_TEXT, body=_FRAME_TEXT), _ANSWERED),
    _browser(
        "grpc-web: text both ways",
        post("/s/m", _WEB_TEXT, "Accept: application/grpc-web-text", body=_FRAME_TEXT),
        _ANSWERED,
    ),
    _browser("grpc-web: text cut short", post("/s/m", _WEB_TEXT, body=_FRAME_TEXT[:-1])),
    _browser("grpc-web: no base64", post("/s/m", _WEB_TEXT, body="!!!!")),
    _browser(
        "grpc-web: failed at once",
        post("/s/m", _WEB, body=_FRAME),
        answer("200 OK", "Content-Type: application/grpc", "Grpc-Status: 5", "Content-Length: 0"),
    ),
    _browser(
        "grpc-web: answer that is no gRPC",
        post("/s/m", _WEB, body=_FRAME),
        answer("503 Oops", "Content-Type: text/html", "Content-Length: 5", body="he%lo"),
    ),
    _browser("grpc-web: direct response", post("/direct", _WEB, body=_FRAME)),
    _browser("grpc-web: plain gRPC", post("/s/m", "Content-Type: application/grpc", body=_FRAME), _ANSWERED),
    _browser("grpc-web: something else", post("/s/m", "Content-Type: text/plain")),
)

_checked = partial(Case, listener="health-check")
HEALTH_CHECK = (
    _checked("health check: asked", get("/healthz")),
    _checked("health check: HEAD", get("/healthz", method="HEAD")),
    _checked("health check: not asked", get("/x")),
)

_chained = partial(Case, listener="chain")
CHAIN = (
    _chained("chain: forwarded", get("/known")),
    _chained("chain: local reply", get("/direct")),
    _chained("chain: no route", get("/nowhere")),
    _chained("chain: a route switches one on", get("/on")),
)

CASES = (
    *BUFFER,
    *HEADER_MUTATION,
    *LOCAL_RATE_LIMIT,
    *COMPRESSOR,
    *FAULT,
    *CORS,
    *GRPC_WEB,
    *HEALTH_CHECK,
    *CHAIN,
)
