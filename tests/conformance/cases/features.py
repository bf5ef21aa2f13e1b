"""What routes ask for: faults, CORS, mirrors, retries, mutations, weights, redirects, limits of time."""

from __future__ import annotations

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases.requests import CLOSE, RESET, answer, empty, get, post, raw, slow, status

_A, _B = "Origin: https://a.com", "Origin: https://x.b.com"
_PREFLIGHT = "Access-Control-Request-Method: GET"

FILTERS = (
    Case("fault: delay", get("/fdelay")),
    Case("fault: delay of a POST", post("/fdelay")),
    Case("fault: abort", get("/fabort")),
    Case("fault: abort of a POST", post("/fabort")),
    Case("fault: abort of a HEAD", get("/fabort", method="HEAD")),
    Case("fault: delay and abort", get("/fboth")),
    Case("fault: at zero per cent", get("/fnever")),
    Case("fault: abort with a gRPC status", get("/fgrpc")),
    Case("fault: abort with a gRPC status, to gRPC", post("/fgrpc", "Content-Type: application/grpc")),
    Case("fault: by header, none given", get("/fheader")),
    Case("fault: by header, abort", get("/fheader", "X-Envoy-Fault-Abort-Request: 429"), listener="sidecar"),
    Case("fault: by header, delay", get("/fheader", "X-Envoy-Fault-Delay-Request: 50"), listener="sidecar"),
    Case("fault: by header, nonsense", get("/fheader", "X-Envoy-Fault-Abort-Request: x"), listener="sidecar"),
    Case("fault: by header, at the edge", get("/fheader", "X-Envoy-Fault-Abort-Request: 429")),
    Case("fault: only with a header, absent", get("/fif")),
    Case("fault: only with a header, present", get("/fif", "X-Fault: yes")),
    Case("fault: client leaves during the delay", get("/fdelay"), half_closes=False),
    Case("cors: preflight", get("/cors", _A, _PREFLIGHT, method="OPTIONS")),
    Case("cors: preflight by suffix", get("/cors", _B, _PREFLIGHT, method="OPTIONS")),
    Case("cors: preflight by regex", get("/cors", "Origin: https://c12", _PREFLIGHT, method="OPTIONS")),
    Case(
        "cors: preflight from elsewhere",
        get("/cors", "Origin: https://b.com", _PREFLIGHT, method="OPTIONS"),
    ),
    Case("cors: OPTIONS that is no preflight", get("/cors", _A, method="OPTIONS")),
    Case("cors: preflight without an origin", get("/cors", _PREFLIGHT, method="OPTIONS")),
    Case("cors: simple", get("/cors", _A)),
    Case("cors: simple, from elsewhere", get("/cors", "Origin: https://evil.com")),
    Case("cors: no origin", get("/cors")),
    Case(
        "cors: the upstream's own headers",
        get("/cors", _A),
        answer(
            "200 OK",
            "Access-Control-Allow-Origin: *",
            "Access-Control-Expose-Headers: y",
            "Content-Length: 0",
        ),
    ),
    Case("cors: without credentials", get("/plaincors", _A, _PREFLIGHT, method="OPTIONS")),
    Case("cors: simple, without credentials", get("/plaincors", _A)),
    Case(
        "cors: preflight for a private network",
        get("/cors", _A, _PREFLIGHT, "Access-Control-Request-Private-Network: true", method="OPTIONS"),
    ),
    Case("mirror: GET", get("/mirror/a")),
    Case("mirror: POST", post("/mirror/a")),
    Case(
        "mirror: chunked POST",
        get("/mirror/a", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n"),
    ),
    Case("mirror: at zero per cent", get("/mnever")),
    Case("mirror: to nowhere", get("/mnowhere")),
    Case("mirror: host with a port", raw("GET /mirror/a HTTP/1.1", "Host: gs.xebia.com:81", "User-Agent: t")),
    Case("mirror: sidecar", get("/mirror/a", "X-Forwarded-For: 1.1.1.1"), listener="sidecar"),
    Case("mirror: both fail", get("/mirror/a"), status(500)),
)

_SECOND = (OK,)
_GRPC = ("200 OK", "Content-Type: application/grpc", "Content-Length: 0")
_SIDE = {"listener": "sidecar"}


def _asks(*headers: str) -> bytes:
    return get("/none", *headers)


RETRIES = (
    Case("retry: connect failure", get("/r/connect")),
    Case("retry: 409 on retriable-4xx", get("/r/4xx"), empty(409), later=_SECOND),
    Case("retry: 404 on retriable-4xx", get("/r/4xx"), empty(404), later=_SECOND),
    Case("retry: 500 then 200", get("/r/5xx"), empty(500), later=_SECOND),
    Case("retry: 500, 500, then 200", get("/r/5xx"), empty(500), later=(empty(500), OK)),
    Case("retry: 500, 503, 502", get("/r/5xx"), empty(500), later=(empty(503), empty(502))),
    Case("retry: a close, then 200", get("/r/5xx"), CLOSE, later=_SECOND),
    Case("retry: 500, then a close", get("/r/5xx"), empty(500), later=(CLOSE,)),
    Case("retry: POST is sent again whole", post("/r/5xx", body="x" * 1000), empty(500), later=_SECOND),
    Case("retry: a response with a body", get("/r/5xx"), status(500), later=_SECOND),
    Case("retry: 501 is no gateway error", get("/r/gw"), empty(501), later=_SECOND),
    Case("retry: 503 is a gateway error", get("/r/gw"), empty(503), later=_SECOND),
    Case("retry: a reset on gateway-error", get("/r/gw"), RESET, later=_SECOND),
    Case("retry: a reset", get("/r/reset"), RESET, later=_SECOND),
    Case("retry: 500 on reset", get("/r/reset"), empty(500), later=_SECOND),
    Case("retry: a reset before the request", get("/r/before"), RESET, later=_SECOND),
    Case("retry: refused-stream on HTTP/1", get("/r/refused"), RESET, later=_SECOND),
    Case("retry: a policy without conditions", get("/r/none"), empty(503), later=_SECOND),
    Case("retry: no retries left from the start", get("/r/zero"), empty(503), later=_SECOND),
    Case("retry: a header asks for it", get("/r/headers"), empty(200, "X-Again: 1"), later=_SECOND),
    Case("retry: no header asks for it", get("/r/headers"), empty(500), later=_SECOND),
    Case("retry: only with a request header, absent", get("/r/only-if"), empty(500), later=_SECOND),
    Case("retry: only with a request header", get("/r/only-if", "X-May: yes"), empty(500), later=_SECOND),
    *(
        Case(
            f"retry: grpc-status {code}",
            get("/r/grpc"),
            answer(*_GRPC, f"Grpc-Status: {code}"),
            later=_SECOND,
        )
        for code in (0, 1, 2, 4, 8, 13, 14, 16)
    ),
    Case("retry: after what the upstream says", get("/r/after"), empty(503, "Retry-After: 0"), later=_SECOND),
    Case("retry: longer than may be waited", get("/r/after"), empty(503, "Retry-After: 30"), later=_SECOND),
    Case("retry: the cluster allows none", get("/r/limit"), empty(503), later=_SECOND),
    Case("retry: a body too large to keep", post("/r/buffer", body="x" * 100), empty(500), later=_SECOND),
    Case("retry: asked by header", _asks("X-Envoy-Retry-On: 5xx"), empty(500), later=_SECOND, **_SIDE),
    Case(
        "retry: asked by header, at most so often",
        _asks("X-Envoy-Retry-On: 5xx", "X-Envoy-Max-Retries: 3"),
        empty(500),
        **_SIDE,
    ),
    Case(
        "retry: asked by header for a status",
        _asks("X-Envoy-Retry-On: retriable-status-codes", "X-Envoy-Retriable-Status-Codes: 418,429"),
        empty(429),
        later=_SECOND,
        **_SIDE,
    ),
    Case(
        "retry: asked by header for gRPC",
        _asks("X-Envoy-Retry-Grpc-On: unavailable"),
        answer(*_GRPC, "Grpc-Status: 14"),
        later=_SECOND,
        **_SIDE,
    ),
    Case(
        "retry: asked by header with a time for each try",
        _asks("X-Envoy-Retry-On: 5xx", "X-Envoy-Upstream-Rq-Per-Try-Timeout-Ms: 50"),
        slow(0.2),
        later=_SECOND,
        **_SIDE,
    ),
    Case("retry: asked by header, at the edge", _asks("X-Envoy-Retry-On: 5xx"), empty(500), later=_SECOND),
    Case(
        "retry: another status for timeouts",
        get("/t/short", "X-Envoy-Upstream-Rq-Timeout-Alt-Response: 1"),
        slow(0.3),
        **_SIDE,
    ),
)

TIMES = (
    Case("time: the route's is over", get("/t/short"), slow(0.3)),
    Case("time: of a POST, once it is complete", post("/t/short"), slow(0.3)),
    Case("time: nothing moves", get("/t/idle"), slow(0.4)),
    Case(
        "time: nothing moves in the midst of a response",
        get("/t/idle"),
        answer("200 OK", "Content-Length: 9", body="half", then="hang"),
    ),
    Case("time: of the whole stream", get("/t/max"), slow(0.4)),
    Case("time: a HEAD that takes too long", get("/t/short", method="HEAD"), slow(0.3)),
    Case("time: gRPC that takes too long", post("/t/short", "Content-Type: application/grpc"), slow(0.3)),
)

_ACTIONS = ("APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT", "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS")
_HAS_M = Answer(
    b"HTTP/1.1 200 OK\r\nX-M: old\r\nAccept: a\r\nX-Up-Secret: 1\r\nX-M: older\r\nContent-Length: 0\r\n\r\n"
)
MUTATIONS = (
    *(
        Case(f"mutation: {action}", get(f"/h/{action}", "X-M: old", "Accept: a", "X-M: older"), _HAS_M)
        for action in _ACTIONS
    ),
    *(Case(f"mutation: {action}, nothing there", get(f"/h/{action}")) for action in _ACTIONS),
    Case("mutation: operators", get("/h/operators?x=1")),
    Case("mutation: operators, a POST", post("/h/operators")),
    Case("mutation: host from a header", get("/h/from-header", "X-New-Host: told.com")),
    Case("mutation: host from a header that is absent", get("/h/from-header")),
    Case("mutation: host from the path", get("/h/from-path/abc?d=1")),
    Case("mutation: host from a path that does not match", get("/h/from-path/9")),
    Case("mutation: x-forwarded-host", get("/h/forwarded-host")),
    Case("mutation: x-forwarded-host, again", get("/h/forwarded-host", "X-Forwarded-Host: one.com")),
    Case("mutation: of a direct response", get("/h/direct")),
    Case("mutation: of a redirect", get("/h/redirect")),
    Case("mutation: of a local reply", get("/h/noeps")),
    Case("mutation: of a virtual host", get("/x", "X-Rm-Host: 1", "X-Host-Level: own")),
    Case("mutation: of no route", raw("GET / HTTP/1.1", "Host: nobody.com", "User-Agent: t")),
    Case(
        "mutation: of a weighted cluster",
        get("/w/headers", "X-Rm: 1", "X-Level: own"),
        answer("200 OK", "X-Up: 1", "Server: up", "X-Level: up", "Content-Length: 0"),
    ),
    Case("cluster by header", get("/w/by-header", "X-Cluster: other")),
    Case("cluster by header, unknown", get("/w/by-header", "X-Cluster: nowhere")),
    Case("cluster by header, absent", get("/w/by-header")),
    *(
        Case(f"redirect {path}", get(f"/to/{path}?q=1"))
        for path in ("302", "303", "307", "strip", "query", "regex/a/b", "80", "443")
    ),
    *(
        Case(
            f"redirect {path} of a host with a port", raw(f"GET /to/{path} HTTP/1.1", "Host: gs.xebia.com:80")
        )
        for path in ("80", "443", "strip")
    ),
    Case("require_tls", raw("GET /a?b=1 HTTP/1.1", "Host: secure.com", "User-Agent: t")),
    Case("require_tls of a POST", raw("POST /a HTTP/1.1", "Host: secure.com", "Content-Length: 1", body="a")),
    Case(
        "require_tls, forwarded as https",
        raw("GET /a HTTP/1.1", "Host: secure.com", "X-Forwarded-Proto: https"),
        listener="sidecar",
    ),
    Case("host by wildcard suffix", raw("GET / HTTP/1.1", "Host: a.wild.com", "User-Agent: t")),
    Case("host by wildcard suffix, bare", raw("GET / HTTP/1.1", "Host: .wild.com", "User-Agent: t")),
    Case("host by wildcard prefix", raw("GET / HTTP/1.1", "Host: pre.x", "User-Agent: t")),
    Case("host by wildcard, none", raw("GET / HTTP/1.1", "Host: wild.com", "User-Agent: t")),
)
