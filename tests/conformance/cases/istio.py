"""The table of cases, after the rows of the notes on Envoy 1.40: outcomes, protocol, paths, headers, TCP."""

from __future__ import annotations

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases.requests import CLOSE, RESET, answer, empty, get, raw, slow, status

CHUNKED = answer(
    "200 OK",
    "X-MiXed-Case: Yes",
    "Trailer: x-t",
    "Transfer-Encoding: chunked",
    body="5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-T: 1\r\n\r\n",
)
HOP = answer(
    "200 OK",
    "Connection: X-Hop",
    "Keep-Alive: 5",
    "X-Hop: 1",
    "Server: up/1",
    "Date: Mon, 01 Jan 2001 00:00:00 GMT",
    "Via: 1.1 up",
    "X-Dup: a",
    "X-Dup: b",
    "Set-Cookie: a=1",
    "Set-Cookie: b=2",
    "Content-Length: 2",
    body="ok",
)
UPGRADED = Answer(
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n",
    then="tunnel",
)
CONTINUED = Answer(OK.raw, before_body=b"HTTP/1.1 100 Continue\r\n\r\n")
AFTER_CONTINUE = ((b"HTTP/1.1 100 Continue\r\n\r\n", b"abc"),)
WEBSOCKET = ("Connection: Upgrade", "Upgrade: websocket")

OUTCOMES = (
    Case("200 with prefix rewrite", get("/one?x=1")),
    Case("no virtual host", raw("GET /one HTTP/1.1", "Host: nope.com", "User-Agent: t")),
    Case("no route in the virtual host", raw("GET /other HTTP/1.1", "Host: strict.com", "User-Agent: t")),
    Case("no endpoints", get("/noeps")),
    Case("the only endpoint is unhealthy", get("/unhealthy")),
    Case("connect refused, Istio's retries", get("/refused")),
    Case("connect refused, no retry", get("/rnr")),
    Case("one of two endpoints refuses", get("/mixed"), in_turn=12, tries_vary=True),
    Case("one of two endpoints refuses, no retry", get("/mnr"), in_turn=16),
    Case("connect timeout", get("/cto")),
    Case("connect timeout, Istio's retries", get("/ctr")),
    Case("no such cluster", get("/nocluster")),
    Case("no such cluster, 500 wanted", get("/nocluster500")),
    Case("route timeout", get("/timeout"), slow(1)),
    Case("per-try timeout, retries exhausted", get("/pertry"), slow(1)),
    Case("per-try and route timeout", get("/pertry-and-timeout"), slow(1)),
    Case(
        "timeout after the response's head",
        get("/timeout"),
        answer("200 OK", "Content-Length: 10", body="half", then="hang"),
    ),
    Case("503, Istio's retries", get("/status"), empty(503)),
    Case("503, retry on 5xx", get("/retry/5xx"), empty(503)),
    Case("500, retry on 5xx", get("/retry/5xx"), empty(500)),
    Case("500 is no gateway error", get("/retry/gw"), empty(500)),
    Case("502 is a gateway error", get("/retry/gw"), empty(502)),
    Case("504 is a gateway error", get("/retry/gw"), empty(504)),
    Case("404, retry on 5xx", get("/retry/5xx"), empty(404)),
    Case("500, a retriable status", get("/retry/500"), empty(500)),
    Case("502, no retriable status", get("/retry/500"), empty(502)),
    Case(
        "retry of a POST with a body",
        get("/retry/5xx", "Content-Length: 3", method="POST", body="abc"),
        empty(503),
    ),
    Case(
        "retry of a chunked POST",
        get("/retry/5xx", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n"),
        empty(503),
    ),
    Case("upstream closes without a response", get("/close"), CLOSE),
    Case("upstream closes, retry on 5xx", get("/retry/5xx"), CLOSE),
    Case("upstream closes, retry on gateway-error", get("/retry/gw"), CLOSE),
    Case("upstream resets", get("/reset"), RESET),
    Case("upstream resets, retry on reset", get("/retry/reset"), RESET),
    Case(
        "upstream closes amid the body",
        get("/partial"),
        answer("200 OK", "Content-Length: 100", body="half", then="close"),
    ),
    Case(
        "upstream resets amid the body",
        get("/partial"),
        answer("200 OK", "Content-Length: 100", body="half", then="reset", after_s=0),
    ),
    Case(
        "upstream closes amid chunks",
        get("/p"),
        answer("200 OK", "Transfer-Encoding: chunked", body="5\r\nhe", then="close"),
    ),
    Case("upstream speaks no HTTP", get("/badresp"), Answer(b"HELLO THERE\r\n\r\n", then="hang")),
    Case(
        "upstream speaks no HTTP, retry on 5xx",
        get("/retry/5xx"),
        Answer(b"HELLO THERE\r\n\r\n", then="hang"),
    ),
    Case(
        "upstream with two lengths",
        get("/l"),
        answer("200 OK", "Content-Length: 2", "Content-Length: 3", body="ok", then="hang"),
    ),
    Case(
        "upstream with two equal lengths",
        get("/l"),
        answer("200 OK", "Content-Length: 2", "Content-Length: 2", body="ok", then="hang"),
    ),
    Case(
        "upstream with length and chunks",
        get("/l"),
        answer(
            "200 OK",
            "Content-Length: 2",
            "Transfer-Encoding: chunked",
            body="2\r\nok\r\n0\r\n\r\n",
            then="hang",
        ),
    ),
    Case(
        "upstream with a bad chunk",
        get("/l"),
        answer("200 OK", "Transfer-Encoding: chunked", body="zz\r\nok\r\n0\r\n\r\n", then="hang"),
    ),
    Case(
        "upstream with a bad header name",
        get("/l"),
        answer("200 OK", "Bad Name: 1", "Content-Length: 0", then="hang"),
    ),
    Case(
        "upstream with a control character",
        get("/l"),
        answer("200 OK", "X-C: a\x01b", "Content-Length: 0", then="hang"),
    ),
    Case(
        "upstream answers in HTTP/1.0",
        get("/l"),
        Answer(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", then="close"),
    ),
    Case(
        "upstream sends more than its length",
        get("/l"),
        answer("200 OK", "Content-Length: 2", body="okmore", then="hang"),
    ),
    Case(
        "response until close",
        get("/until-close"),
        answer("200 OK", "X-A: 1", body="until close", then="close"),
    ),
    Case("204", get("/nobody"), answer("204 No Content")),
    Case("304 with a length", get("/nobody"), answer("304 Not Modified", "Content-Length: 10", "ETag: x")),
    Case("205", get("/nobody"), answer("205 Reset Content", "Content-Length: 0")),
    Case("418 gets Envoy's phrase", get("/teapot"), answer("418 Teapot", "Content-Length: 0")),
    Case("299 gets Envoy's phrase", get("/teapot"), answer("299 Odd", "Content-Length: 0")),
    Case("100 nobody asked for", get("/h"), answer("100 Continue", body="HTTP/1.1 204 No Content\r\n\r\n")),
    Case("101 nobody asked for", get("/h"), answer("101 Switching Protocols", then="close")),
    Case("status 600", get("/h"), answer("600 Odd", "Content-Length: 0")),
    Case("status 099", get("/h"), answer("099 Odd", "Content-Length: 0", then="keep")),
    Case("status without a phrase", get("/h"), Answer(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")),
    Case(
        "upstream answers in HTTP/2.0",
        get("/h"),
        Answer(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", then="keep"),
    ),
    Case("response with LF alone", get("/h"), Answer(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n")),
    Case("204 with a length", get("/h"), answer("204 No Content", "Content-Length: 0")),
    Case("204 with a body", get("/h"), answer("204 No Content", "Content-Length: 2", body="ok", then="keep")),
    Case("HEAD of a 404", get("/h", method="HEAD"), empty(404)),
    Case(
        "response with gzip, chunked",
        get("/h"),
        answer("200 OK", "Transfer-Encoding: gzip, chunked", body="0\r\n\r\n", then="keep"),
    ),
    Case("response with a folded header", get("/h"), answer("200 OK", "X-F: a\r\n b", "Content-Length: 0")),
    Case(
        "response with 101 headers",
        get("/h"),
        answer("200 OK", *(f"X-{n}: 1" for n in range(101)), "Content-Length: 0", then="keep"),
    ),
    Case(
        "response with 61 KiB of header",
        get("/h"),
        answer("200 OK", f"X-B: {'a' * 61 * 1024}", "Content-Length: 0", then="keep"),
    ),
    Case(
        "empty response in chunks",
        get("/h"),
        answer("200 OK", "Transfer-Encoding: chunked", body="0\r\n\r\n"),
    ),
    Case(
        "upstream's own x-envoy headers",
        get("/h"),
        answer(
            "200 OK",
            "X-Envoy-Upstream-Service-Time: 7",
            "X-Envoy-Attempt-Count: 9",
            "X-Envoy-Foo: 1",
            "X-Request-Id: r",
            "Content-Length: 0",
        ),
    ),
    Case(
        "repeated well-known response headers",
        get("/h"),
        answer(
            "200 OK",
            "Vary: a",
            "Vary: b",
            "Server: x",
            "Server: y",
            "Cache-Control: a",
            "Cache-Control: b",
            "Content-Type: a",
            "Content-Length: 0",
        ),
    ),
    Case(
        "connection names a response header",
        get("/h"),
        answer(
            "200 OK",
            "Connection: keep-alive, Server",
            "Proxy-Connection: x",
            "Keep-Alive: 1",
            "Upgrade: h2c",
            "Content-Length: 0",
        ),
    ),
    Case(
        "early hints are dropped",
        get("/h"),
        answer("103 Early", "Link: x", body="HTTP/1.1 204 No Content\r\n\r\n"),
    ),
    Case("direct response", get("/direct")),
    Case("direct response without a body", get("/dnobody")),
    Case("HEAD on a direct response", get("/direct", method="HEAD")),
    Case("POST to a direct response", get("/direct", "Content-Length: 3", method="POST", body="abc")),
    Case("POST where there are no endpoints", get("/noeps", "Content-Length: 3", method="POST", body="abc")),
    Case(
        "POST to no route",
        raw("POST / HTTP/1.1", "Host: no.com", "User-Agent: t", "Content-Length: 3", body="abc"),
    ),
    Case(
        "POST to no cluster", get("/nocluster", "Transfer-Encoding: chunked", method="POST", body="0\r\n\r\n")
    ),
    Case("redirect of a POST", get("/redir", "Content-Length: 3", method="POST", body="abc")),
    Case("POST that upstream refuses", get("/rnr", "Content-Length: 3", method="POST", body="abc")),
    Case("redirect of host and path", get("/redir?q=1")),
    Case("redirect with prefix rewrite", get("/rprefix/x?q=1")),
    Case(
        "redirect of scheme and port",
        raw("GET /rport/a HTTP/1.1", "Host: gs.xebia.com:8080", "User-Agent: t"),
    ),
    Case("https redirect", raw("GET /rhttps/a HTTP/1.1", "Host: gs.xebia.com:8080", "User-Agent: t")),
    Case("client leaves before the response", get("/delay"), slow(0.3), leaves=True),
    Case("client leaves a route with a timeout", get("/timeout"), slow(0.2), leaves=True),
    Case("circuit breaker overflows", get("/cb"), slow(0.3), at_once=3),
    Case("weighted cluster's header", get("/weighted")),
    Case("default route timeout", get("/default-timeout")),
)

PROTOCOL = (
    Case("HTTP/1.0 is not accepted", get("/one", version="HTTP/1.0")),
    Case("HTTP/1.0 accepted", get("/one", version="HTTP/1.0"), listener="http10"),
    Case("HTTP/1.0 keep-alive", get("/one", "Connection: keep-alive", version="HTTP/1.0"), listener="http10"),
    Case("HTTP/1.0 without Host", raw("GET /one HTTP/1.0", "User-Agent: t"), listener="http10"),
    Case(
        "HTTP/1.0, chunked upstream", get("/one", version="HTTP/1.0"), CHUNKED, listener="http10", answers=0
    ),
    Case("no Host", raw("GET /one HTTP/1.1", "User-Agent: t")),
    Case("empty Host", raw("GET /one HTTP/1.1", "Host: ", "User-Agent: t")),
    Case("two Hosts", raw("GET /one HTTP/1.1", "Host: gs.xebia.com", "Host: gs.xebia.com")),
    Case("absolute form", raw("GET http://gs.xebia.com/one?x=1 HTTP/1.1", "Host: nope.com", "User-Agent: t")),
    Case(
        "absolute form without a path",
        raw("GET http://gs.xebia.com HTTP/1.1", "Host: nope.com", "User-Agent: t"),
    ),
    Case(
        "absolute form, https", raw("GET https://gs.xebia.com:8080/one HTTP/1.1", "Host: x", "User-Agent: t")
    ),
    Case(
        "absolute form, another scheme",
        raw("GET ftp://gs.xebia.com/one HTTP/1.1", "Host: x", "User-Agent: t"),
    ),
    Case("Host with userinfo", raw("GET /one HTTP/1.1", "Host: user@gs.xebia.com", "User-Agent: t")),
    Case("Host with port", raw("GET /one HTTP/1.1", "Host: gs.xebia.com:8080", "User-Agent: t")),
    Case("Host with an odd port", raw("GET /one HTTP/1.1", "Host: gs.xebia.com:1234", "User-Agent: t")),
    Case("Host in upper case", raw("GET /one HTTP/1.1", "Host: GS.Xebia.COM", "User-Agent: t")),
    Case("Host with a trailing dot", raw("GET /one HTTP/1.1", "Host: gs.xebia.com.", "User-Agent: t")),
    Case("Host with a blank", raw("GET /one HTTP/1.1", "Host: gs xebia", "User-Agent: t")),
    *(
        Case(f"Host {host}", raw("GET /one HTTP/1.1", f"Host: {host}", "User-Agent: t"))
        for host in (
            "a/b",
            "a,b",
            "a_b",
            "caf\xe9",
            "[::1]:80",
            "a:b",
            "a%20b",
            "a<b",
            "a?b",
            "a#b",
            "*.x",
            'a"b',
        )
    ),
    Case("OPTIONS *", get("*", method="OPTIONS")),
    Case("GET *", get("*")),
    Case("CONNECT", raw("CONNECT gs.xebia.com:443 HTTP/1.1", "Host: gs.xebia.com:443")),
    Case("unknown method", get("/one", method="FOO")),
    Case("lower-case method", get("/one", method="get")),
    Case("TRACE", get("/one", method="TRACE")),
    Case("PATCH", get("/one", method="PATCH")),
    Case("garbage", b"HELLO\r\n\r\n"),
    Case("a TLS hello", b"\x16\x03\x01\x00\x05hello"),
    Case("version 3.7", raw("GET /one HTTP/3.7", "Host: gs.xebia.com")),
    Case("version 2.0", raw("GET /one HTTP/2.0", "Host: gs.xebia.com")),
    Case("LF alone", b"GET /one HTTP/1.1\nHost: gs.xebia.com\n\n"),
    Case("leading CRLF", b"\r\n\r\n" + get("/one")),
    Case("blank in the target", get("/one two")),
    Case("non-ASCII in the target", get("/one/\xe9")),
    Case("fragment in the target", get("/one#frag")),
    Case("header name with a blank", get("/one", "Bad Name: 1")),
    Case("header name with an underscore", get("/one", "bad_name: 1")),
    Case("control character in a value", get("/one", "X-C: a\x01b")),
    Case("NUL in a value", get("/one", "X-C: a\x00b")),
    Case("folded header", get("/one", "X-F: a\r\n b")),
    Case("non-ASCII in a value", get("/one", "X-L: caf\xe9")),
    Case("blank before the colon", get("/one", "X-S : a")),
    Case("header without a colon", get("/one", "nonsense")),
    Case("empty header name", get("/one", ": x")),
    Case("GET with a body", get("/echo", "Content-Length: 3", body="abc")),
    Case("HEAD", get("/one", method="HEAD")),
    Case("HEAD of a chunked response", get("/one", method="HEAD"), CHUNKED),
    Case("POST without length", get("/echo", method="POST")),
    Case("PUT without length", get("/echo", method="PUT")),
    Case("DELETE without length", get("/echo", method="DELETE")),
    Case("POST with length", get("/echo", "Content-Length: 3", method="POST", body="abc")),
    Case("POST with length 0", get("/echo", "Content-Length: 0", method="POST")),
    Case(
        "POST in chunks, with trailers",
        get(
            "/echo",
            "Transfer-Encoding: chunked",
            "Trailer: x-t",
            method="POST",
            body="3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
        ),
    ),
    Case(
        "length and chunks",
        get(
            "/echo",
            "Content-Length: 3",
            "Transfer-Encoding: chunked",
            method="POST",
            body="3\r\nabc\r\n0\r\n\r\n",
        ),
    ),
    Case("two lengths", get("/echo", "Content-Length: 3", "Content-Length: 4", method="POST", body="abcd")),
    Case(
        "two equal lengths", get("/echo", "Content-Length: 3", "Content-Length: 3", method="POST", body="abc")
    ),
    Case("bad length", get("/echo", "Content-Length: x", method="POST")),
    Case("negative length", get("/echo", "Content-Length: -1", method="POST")),
    Case("length with a plus", get("/echo", "Content-Length: +3", method="POST", body="abc")),
    Case("gzip, chunked", get("/echo", "Transfer-Encoding: gzip, chunked", method="POST", body="0\r\n\r\n")),
    Case("identity", get("/echo", "Transfer-Encoding: identity", method="POST")),
    Case(
        "bad chunk size",
        get("/echo", "Transfer-Encoding: chunked", method="POST", body="zz\r\nabc\r\n0\r\n\r\n"),
    ),
    Case(
        "expect 100-continue",
        get("/expect", "Expect: 100-continue", "Content-Length: 3", method="POST"),
        then=AFTER_CONTINUE,
    ),
    Case(
        "expect 100-continue, the upstream decides",
        get("/expect", "Expect: 100-continue", "Content-Length: 3", method="POST"),
        CONTINUED,
        listener="http10",
        then=AFTER_CONTINUE,
    ),
    Case("another expectation", get("/echo", "Expect: foo")),
    Case(
        "websocket",
        get("/ws", *WEBSOCKET, "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"),
        UPGRADED,
        then=((b"\r\n\r\n", b"ping"),),
        answers=0,
    ),
    Case("websocket answered with 200", get("/one", *WEBSOCKET)),
    Case("websocket answered with 426", get("/status", *WEBSOCKET), status(426)),
    Case("websocket where there are no endpoints", get("/noeps", *WEBSOCKET)),
    Case("upgrade not configured", get("/one", "Connection: Upgrade", "Upgrade: foo")),
    Case(
        "upgrade to h2c is ignored",
        get(
            "/one",
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ),
    ),
    Case("upgrade without connection", get("/one", "Upgrade: websocket")),
    Case("chunked response with trailers", get("/chunked"), CHUNKED),
    Case("chunked response to TE: trailers", get("/chunked", "TE: trailers"), CHUNKED),
    Case("hop-by-hop and repeated response headers", get("/hop"), HOP),
    Case(
        "upstream says close",
        get("/c"),
        answer("200 OK", "Content-Length: 2", "Connection: close", body="ok", then="close"),
    ),
    Case("client says close", get("/one", "Connection: close")),
    Case("client says close, local 404", raw("GET / HTTP/1.1", "Host: nope.com", "Connection: close")),
    Case("two requests in a row", get("/one") + get("/two"), answers=2),
    Case("three requests in a row, one local", get("/one") + get("/dnobody") + get("/two"), answers=3),
    Case("client half-closes after its request", get("/one"), slow(0.2), half_closes=True),
    Case(
        "POST, then GET on the same connection",
        get("/echo", "Content-Length: 3", method="POST", body="abc") + get("/two"),
        answers=2,
    ),
    Case(
        "more body than its length",
        get("/echo", "Content-Length: 3", method="POST", body="abcGET / HTTP/1.1\r\n"),
        answers=1,
    ),
    Case(
        "chunk with an extension",
        get("/echo", "Transfer-Encoding: chunked", method="POST", body="3;a=b\r\nabc\r\n0\r\n\r\n"),
    ),
    Case(
        "chunks with LF alone",
        get("/echo", "Transfer-Encoding: chunked", method="POST", body="3\nabc\n0\n\n"),
    ),
    Case("Chunked in capitals", get("/echo", "Transfer-Encoding: Chunked", method="POST", body="0\r\n\r\n")),
    Case(
        "chunked twice", get("/echo", "Transfer-Encoding: chunked, chunked", method="POST", body="0\r\n\r\n")
    ),
    Case("client says Close", get("/one", "Connection: Close")),
    Case("Connection: keep-alive", get("/one", "Connection: keep-alive")),
    Case(
        "expect in capitals",
        get("/expect", "Expect: 100-Continue", "Content-Length: 3", method="POST"),
        then=AFTER_CONTINUE,
    ),
    Case("expect 100-continue without a body", get("/one", "Expect: 100-continue")),
    Case(
        "expect 100-continue, no route",
        raw("POST / HTTP/1.1", "Host: no.com", "Expect: 100-continue", "Content-Length: 3"),
        answers=1,
    ),
    Case(
        "websocket in capitals",
        get("/ws", "Connection: upgrade", "Upgrade: WebSocket"),
        UPGRADED,
        then=((b"\r\n\r\n", b"ping"),),
        answers=0,
    ),
    Case("101 headers", get("/one", *(f"X-{n}: 1" for n in range(99)))),
    Case("100 headers", get("/one", *(f"X-{n}: 1" for n in range(98)))),
    Case("61 KiB of header", get("/one", f"X-Big: {'a' * 61 * 1024}")),
    Case("59 KiB of header", get("/one", f"X-Big: {'a' * 59 * 1024}")),
    Case("61 KiB of target", get("/one?" + "a" * 61 * 1024)),
)

_NOTED_PATHS = """
/onetwo /one/ /one /one/x/y /One //one /x/../one /one/../two /./one /one/.. /../one /one//x /one/%2e%2e/two
/one%2fx /one%5cx /one\\x /one%00 /on%65 /one%zz /one;p=1 /one?x=/../y /slash /slash/ /slash/x
/root /root/ /root/x /rootx /root?x=1 /gwroot /gwroot/ /gwroot/x?y=1 /gwrootx
/psp /psp/ /psp/x /pspx /psp?x=1 /exact /exact/ /exact?x=1 /exactx /icase/A /ICASE/A
/re/12 /re/12?x=1 /re/12/x /re/x /rewre/a/b/c?d=1 /qp?v=1 /qp?v=1&v=2 /qp?v=2&v=1
"""
_MORE_PATHS = """
/qp?V=1 /qp?v=%31 /qp?v /one? /one?# /a/b/../../one /one/./x /one/../../two /%2e%2e/one /one%20x /one%7Ex
/one%C3%A9 /one/.../x /one/..;/two /one%2F..%2Ftwo /%6Fne ?x=1 one /one/..;a=b/two /one/.;x/y
/one/%2e%2e;/two /one/..; /one/x;/../y /.;/one /one/..%3b/two
"""
PATHS = tuple(Case(f"path {path}", get(path)) for path in (_NOTED_PATHS + _MORE_PATHS).split())

_PEER = ("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https")
HEADERS = (
    Case("headers sent upstream", get("/hdr")),
    Case(
        "client's x-forwarded-*",
        get("/hdr", *_PEER, "X-Forwarded-Host: evil", "X-Forwarded-Port: 443", "Forwarded: for=1.1.1.1"),
    ),
    Case("client's request id, a UUID", get("/hdr", "X-Request-Id: 7b3bd5a2-6a3f-4c5e-9f3b-0a1b2c3d4e5f")),
    Case("client's request id, no UUID", get("/hdr", "X-Request-Id: abc")),
    Case(
        "client's x-envoy-*",
        get(
            "/hdr",
            "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
            "X-Envoy-Max-Retries: 9",
            "X-Envoy-Internal: true",
            "X-Envoy-Original-Path: /evil",
            "X-Envoy-Expected-Rq-Timeout-Ms: 5",
            "X-Envoy-Attempt-Count: 7",
            "X-Envoy-Peer-Metadata: x",
            "X-Envoy-Decorator-Operation: op",
            "X-Envoy-Foo: f",
            "X-Envoy-External-Address: 9.9.9.9",
            "X-Envoy-Retry-On: 5xx",
            "X-Envoy-Force-Trace: 1",
            "X-Forwarded-Client-Cert: By=x",
        ),
    ),
    Case(
        "client's hop-by-hop headers",
        get(
            "/hdr",
            "Connection: X-Foo, keep-alive",
            "X-Foo: 1",
            "Keep-Alive: 5",
            "Proxy-Connection: keep-alive",
            "TE: gzip",
            "Proxy-Authorization: x",
            "Trailer: a",
            "Via: 1.0 c",
        ),
    ),
    Case("TE: trailers", get("/hdr", "TE: trailers, gzip")),
    Case(
        "Connection names a forwarding header",
        get("/hdr", "Connection: X-Forwarded-For", "X-Forwarded-For: 1.1.1.1"),
    ),
    Case("Connection names Host", get("/hdr", "Connection: Host")),
    Case("Connection names x-forwarded-proto", get("/hdr", "Connection: X-Forwarded-Proto")),
    Case(
        "Connection names x-forwarded-host",
        get("/hdr", "Connection: x-forwarded-host", "X-Forwarded-Host: x"),
    ),
    Case("Connection names a pseudo-header", get("/hdr", "Connection: :path")),
    Case("Connection names TE", get("/hdr", "Connection: TE", "TE: trailers")),
    Case("Connection names TE, which is gzip", get("/hdr", "Connection: TE", "TE: gzip")),
    Case("Connection names cookie", get("/hdr", "Connection: cookie", "Cookie: a=1")),
    Case(
        "Connection names content-length",
        get("/hdr", "Connection: content-length", "Content-Length: 3", body="abc"),
    ),
    Case("Connection names close among others", get("/hdr", "Connection: X-Foo, close", "X-Foo: 1")),
    Case(
        "repeated and mixed-case headers",
        get(
            "/hdr",
            "X-Dup: a",
            "X-Dup: b",
            "Cookie: a=1",
            "Cookie: b=2",
            "X-MiXed: V",
            "Accept: a",
            "Accept: b",
            "X-Empty:",
            "X-Sp:   padded   ",
        ),
    ),
    Case("repeated user-agent", get("/hdr", "User-Agent: u")),
    Case(
        "repeated x-forwarded-for",
        get("/hdr", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-For: 2.2.2.2, 3.3.3.3"),
    ),
    Case("a route's header operations", get("/hdrs", "X-Add: 0", "X-Set: 0", "X-Rm: 0")),
    Case("what a prefix rewrite adds", get("/one")),
    Case("no user-agent", raw("GET /hdr HTTP/1.1", "Host: gs.xebia.com")),
    Case("sidecar", get("/hdr"), listener="sidecar"),
    Case(
        "sidecar, client's headers",
        get(
            "/hdr",
            *_PEER,
            "X-Envoy-Upstream-Rq-Timeout-Ms: 7000",
            "X-Envoy-Internal: true",
            "X-Request-Id: abc",
            "X-Envoy-Attempt-Count: 7",
            "X-Envoy-Original-Path: /evil",
            "X-Envoy-Foo: 1",
        ),
        listener="sidecar",
    ),
    Case("sidecar, rewrite", get("/one"), listener="sidecar"),
    Case(
        "sidecar, client's timeout header",
        get("/t", "X-Envoy-Upstream-Rq-Timeout-Ms: 50"),
        slow(0.2),
        listener="sidecar",
    ),
    Case("sidecar, no endpoints", get("/noeps"), listener="sidecar"),
    Case("sidecar, upstream's server and date", get("/hop"), HOP, listener="sidecar"),
    *(
        Case(f"{path}, {name}", get(path, *headers))
        for name, headers in {
            "jason": ("End-User: jason",),
            "jason then x": ("End-User: jason", "End-User: x"),
            "x then jason": ("End-User: x", "End-User: jason"),
            "joined": ("End-User: jason,x",),
            "none": (),
            "empty": ("End-User:",),
        }.items()
        for path in ("/hm", "/hpre", "/hinv", "/hpres")
    ),
)

_PLAIN = raw("GET /x HTTP/1.1", "Host: gs.xebia.com", "User-Agent: t")
VARIANTS = (
    *(
        Case(f"{listener}: path {path}", get(path), listener=listener)
        for path in ("/x/../one", "//one", "/one%2fx", "/on%65", "/one#f", "/one%5Cx", "/one\\x", "/one%00")
        for listener in ("bare", "strict-paths")
    ),
    Case("bare: headers sent upstream", get("/hdr"), listener="bare"),
    Case("bare: websocket", get("/hdr", *WEBSOCKET), listener="bare"),
    Case(
        "pass-through: chunked, case and trailers",
        get("/chunked", "X-MiXed: V", "TE: trailers"),
        CHUNKED,
        listener="pass-through",
    ),
    Case("pass-through: the upstream's server", get("/hop"), HOP, listener="pass-through"),
    Case("pass-through: local reply", get("/noeps"), listener="pass-through"),
    Case(
        "pass-through: request trailers",
        get("/echo", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"),
        listener="pass-through",
    ),
    Case("tcp", _PLAIN, listener="tcp"),
    Case(
        "tcp, upstream closes",
        _PLAIN,
        answer("200 OK", "Content-Length: 2", body="ok", then="close"),
        listener="tcp",
        answers=0,
    ),
    Case("tcp, upstream resets", _PLAIN, RESET, listener="tcp", answers=0),
    Case("tcp, client leaves", _PLAIN, slow(0.2), listener="tcp", leaves=True),
    Case("tcp, upstream refuses", _PLAIN, listener="tcp-refused", answers=0),
    Case("tcp, no such cluster", _PLAIN, listener="tcp-missing", answers=0),
    Case("tcp, no endpoints", _PLAIN, listener="tcp-noeps", answers=0),
)
