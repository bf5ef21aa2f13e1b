"""What the settings of an HTTP connection manager do to a request."""

from __future__ import annotations

from tests.conformance.case import Answer, Case
from tests.conformance.cases.requests import answer, get, post, raw, slow

_FORWARDED = ("X-Forwarded-For: 1.1.1.1, 2.2.2.2", "X-Forwarded-Proto: https")
_ID = "X-Request-Id: 7b3bd5a2-6a3f-4c5e-9f3b-0a1b2c3d4e5f"
_OWN_SERVER = answer("200 OK", "Server: up/1", "X-Envoy-Upstream-Service-Time: 7", "Content-Length: 0")


def _at(*listeners: str) -> tuple[str, ...]:
    return listeners


TRUST = (
    *(
        Case(f"{listener}: x-forwarded-for {name}", get("/hdr", *headers), listener=listener)
        for listener in _at("gateway", "hops-1", "hops-2", "inner-hops-1", "skip-append")
        for name, headers in {
            "absent": (),
            "of two": _FORWARDED,
            "of one": ("X-Forwarded-For: 1.1.1.1",),
            "that is none": ("X-Forwarded-For: nonsense",),
            "of IPv6": ("X-Forwarded-For: 2001:db8::1",),
        }.items()
    ),
    *(
        Case(f"{listener}: client's request id {name}", get("/hdr", *headers), listener=listener)
        for listener in _at("no-request-id", "keep-request-id", "tell-request-id")
        for name, headers in {"absent": (), "there": (_ID,)}.items()
    ),
    Case("tell-request-id: local reply", get("/direct"), listener="tell-request-id"),
    *(
        Case(
            f"{listener}: client's certificate header",
            get("/hdr", "X-Forwarded-Client-Cert: By=x"),
            listener=listener,
        )
        for listener in _at("xfcc-sanitize", "xfcc-forward", "xfcc-append", "xfcc-always")
    ),
    Case("via: first", get("/hdr"), listener="via"),
    Case(
        "via: behind another",
        get("/hdr", "Via: 1.0 c"),
        answer("200 OK", "Via: 1.1 up", "Content-Length: 0"),
        listener="via",
    ),
    Case("via: local reply", get("/direct"), listener="via"),
    Case("scheme-https: told upstream", get("/hdr"), listener="scheme-https"),
    Case("server-append: the upstream's", get("/hdr"), _OWN_SERVER, listener="server-append"),
    Case(
        "server-append: none of the upstream's",
        get("/hdr"),
        answer("200 OK", "Content-Length: 0"),
        listener="server-append",
    ),
    Case("server-append: local reply", get("/direct"), listener="server-append"),
    Case("suppressed: plain", get("/hdr"), listener="suppressed"),
    Case("suppressed: rewrite", get("/one"), _OWN_SERVER, listener="suppressed"),
)

PATH_ACTIONS = tuple(
    Case(f"{listener}: path {path}", get(path), listener=listener)
    for listener in _at("paths-reject", "paths-redirect", "paths-unescape", "paths-merge")
    for path in ("/one%2fx", "/one%5Cx", "/one//x", "/x/..%2fone", "/one%2Fx?q=%2f", "/one/./x")
)

_HTTP10 = raw("GET /hdr HTTP/1.0", "User-Agent: t")
CODEC = (
    Case("default-host: HTTP/1.0 without Host", _HTTP10, listener="default-host"),
    Case(
        "default-host: HTTP/1.1 without Host",
        raw("GET /hdr HTTP/1.1", "User-Agent: t"),
        listener="default-host",
    ),
    Case("stream-error: no Host", raw("GET /hdr HTTP/1.1", "User-Agent: t"), listener="stream-error"),
    Case("stream-error: bad header name", get("/hdr", "Bad Name: 1"), listener="stream-error"),
    Case("stream-error: fragment", get("/hdr#f"), listener="stream-error"),
    Case("few-headers: just enough", get("/hdr", "A: 1", "B: 2", "C: 3"), listener="few-headers"),
    Case("few-headers: one too many", get("/hdr", "A: 1", "B: 2", "C: 3", "D: 4"), listener="few-headers"),
    Case("small-heads: fits", get("/hdr", f"A: {'a' * 800}"), listener="small-heads"),
    Case("small-heads: does not fit", get("/hdr", f"A: {'a' * 1100}"), listener="small-heads"),
    Case("two-requests: first", get("/hdr"), listener="two-requests"),
    Case("two-requests: both", get("/hdr") + get("/two"), listener="two-requests", answers=2),
)

TIME = (
    Case("idle: nothing moves", get("/hdr"), slow(0.6), listener="idle"),
    Case(
        "idle: the client stops in the midst of its body",
        get("/hdr", "Content-Length: 9", method="POST", body="abc"),
        listener="idle",
    ),
    Case(
        "idle: the upstream stops in the midst of its body",
        get("/hdr"),
        answer("200 OK", "Content-Length: 9", body="half", then="hang"),
        listener="idle",
    ),
    Case(
        "idle: both are slow, but move",
        post("/hdr", body="x" * 60),
        Answer(slow(0).raw, cut=4),
        listener="idle",
        cut=20,
    ),
    Case(
        "request-time: the client stops in the midst of its body",
        get("/hdr", "Content-Length: 9", method="POST", body="abc"),
        listener="request-time",
    ),
    Case(
        "request-time: the client stops in the midst of its head",
        b"GET /hdr HTTP/1.1\r\nHost: gs",
        listener="request-time",
    ),
    Case("request-time: a slow upstream", get("/hdr"), slow(0.3), listener="request-time"),
    Case(
        "head-time: the client stops in the midst of its head",
        b"GET /hdr HTTP/1.1\r\nHost: gs",
        listener="head-time",
    ),
    Case(
        "head-time: a slow body",
        get("/hdr", "Content-Length: 3", method="POST"),
        listener="head-time",
        then=((b"nothing", b""),),
    ),
    Case("connection-idle: nobody asks", b"", listener="connection-idle", answers=0),
    Case("connection-idle: after an answer", get("/hdr"), listener="connection-idle", answers=0),
)
