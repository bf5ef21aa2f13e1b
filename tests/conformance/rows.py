"""Which cases are which rows of the notes on Envoy 1.40, so that one can see that none is missing.

The notes are an oracle beside the repository (`../shared/reference/envoy-conformance.md`): 36 facts, and
chapters A to E of recorded cases. A row is called by its chapter's letter and its first column.
"""

from __future__ import annotations

import re
from pathlib import Path

NOTES = Path(__file__).parents[3] / "shared" / "reference" / "envoy-conformance.md"

_NAMED = """
A: 200 via upstream | 200 with prefix rewrite
A: 404 no vhost | no virtual host
A: 404 no route in vhost | no route in the virtual host
A: 503 no endpoints | no endpoints
A: unhealthy endpoint only | the only endpoint is unhealthy
A: connect refused, Istio default retries | connect refused, Istio's retries
A: connect refused, no retry policy | connect refused, no retry
A: 1 of 2 endpoints refused, 6 requests | one of two endpoints refuses
A: 1 of 2 endpoints refused, no retry, 6 requests | one of two endpoints refuses, no retry
A: connect timeout | connect timeout
A: connect timeout, default retries | connect timeout, Istio's retries
A: 503 no such cluster | no such cluster
A: 500 no such cluster (gateway-api) | no such cluster, 500 wanted
A: route timeout | route timeout
A: per-try timeout, retries exhausted | per-try timeout, retries exhausted
A: per-try + global timeout | per-try and route timeout
A: timeout after response headers | timeout after the response's head
A: upstream 503, Istio default retry | 503, Istio's retries
A: upstream 503, retry_on 5xx x2 | 503, retry on 5xx
A: upstream 500, retriable_status_codes [500] | 500, a retriable status
A: upstream closes without response | upstream closes without a response
A: upstream RST | upstream resets
A: upstream RST, retry_on reset | upstream resets, retry on reset
A: upstream closes mid body | upstream closes amid the body
A: upstream garbage response | upstream speaks no HTTP
A: until-close response | response until close
A: 204 | 204
A: direct response 503 + body | direct response
A: direct response 200 no body | direct response without a body
A: HEAD on direct response | HEAD on a direct response
A: redirect host+path 302 | redirect of host and path
A: redirect prefix_rewrite (default 301) | redirect with prefix rewrite
A: redirect scheme+port 308 | redirect of scheme and port
A: https_redirect | https redirect
A: fault delay | fault: delay
A: fault abort | fault: abort
A: fault delay+abort | fault: delay and abort
A: client disconnect before response | client leaves before the response
A: client disconnect on route w/ timeout | client leaves a route with a timeout
A: circuit breaker overflow | circuit breaker overflows
A: weighted cluster header | weighted cluster's header
B: HTTP/1.0 (default, not accepted) | HTTP/1.0 is not accepted
B: HTTP/1.0 accepted | HTTP/1.0 accepted
B: HTTP/1.0 accepted, keep-alive | HTTP/1.0 keep-alive
B: HTTP/1.0 no Host, accepted | HTTP/1.0 without Host
B: missing Host 1.1 | no Host
B: empty Host | empty Host
B: two Host headers | two Hosts
B: absolute-form target | absolute form
B: absolute-form with port, https scheme | absolute form, https
B: authority with userinfo | Host with userinfo
B: Host with port | Host with port
B: Host with odd port | Host with an odd port
B: Host upper case | Host in upper case
B: Host trailing dot | Host with a trailing dot
B: OPTIONS * | OPTIONS *
B: CONNECT | CONNECT
B: unknown method | unknown method
B: lower case method | lower-case method
B: TRACE | TRACE
B: garbage request | garbage
B: bad version | version 3.7
B: LF-only lines | LF alone
B: leading CRLF | leading CRLF
B: space in target | blank in the target
B: non-ascii in target | non-ASCII in the target
B: fragment in target | fragment in the target
B: header name with space | header name with a blank
B: header name with underscore | header name with an underscore
B: header value with control char | control character in a value
B: obs-fold header | folded header
B: non-ascii header value | non-ASCII in a value
B: header whitespace before colon | blank before the colon
B: GET with body | GET with a body
B: HEAD | HEAD
B: POST no length | POST without length
B: POST content-length | POST with length
B: POST chunked with trailers | POST in chunks, with trailers
B: CL + TE chunked (smuggling) | length and chunks
B: two different Content-Length | two lengths
B: two equal Content-Length | two equal lengths
B: bad Content-Length | bad length
B: TE: gzip, chunked | gzip, chunked
B: bad chunk size | bad chunk size
B: expect 100-continue (proxy_100_continue false) | expect 100-continue
B: expect 100-continue, :8084 proxy_100_continue true (:8084) | expect 100-continue, the upstream decides
B: expect other | another expectation
B: websocket upgrade | websocket
B: websocket to non-ws upstream | websocket answered with 200
B: websocket upgrade, upstream 426 | websocket answered with 426
B: unknown upgrade type | upgrade not configured
B: Upgrade: h2c | upgrade to h2c is ignored
B: upgrade header w/o Connection | upgrade without connection
B: chunked response + trailers | chunked response with trailers
B: chunked response + trailers to TE: trailers client | chunked response to TE: trailers
B: upstream hop-by-hop + dup headers | hop-by-hop and repeated response headers
B: upstream Connection: close | upstream says close
B: client Connection: close | client says close
B: pipelined two requests | two requests in a row
B: 101 headers | 101 headers
B: 98 extra headers | 100 headers
B: 61 KiB header | 61 KiB of header
B: 59 KiB header | 59 KiB of header
B: 61 KiB url | 61 KiB of target
D: baseline: headers sent upstream | headers sent upstream
D: client x-forwarded-* | client's x-forwarded-*
D: client x-request-id (valid uuid) | client's request id, a UUID
D: client x-request-id (not uuid) | client's request id, no UUID
D: client x-envoy-* | client's x-envoy-*
D: client hop-by-hop | client's hop-by-hop headers
D: TE: trailers | TE: trailers
D: duplicate + mixed-case headers | repeated and mixed-case headers
D: route header ops | a route's header operations
D: prefix rewrite adds | what a prefix rewrite adds
D: client user-agent absent | no user-agent
D: sidecar-outbound listener baseline | sidecar
D: sidecar-outbound, client xff+proto+envoy | sidecar, client's headers
D: sidecar-outbound rewrite | sidecar, rewrite
D: hdr match yes | /hm, jason
D: hdr match dup | /hm, jason then x
D: sidecar-outbound w/ max rq timeout header | sidecar, client's timeout header
E: https 200 | https: GET
E: https h2 alpn | https: HTTP/2 by ALPN
E: https wrong SNI | https: a server name that nobody has
E: https no SNI | https: no server name
E: plain HTTP to TLS port | https: plain HTTP on its port
E: tcp 200 | tcp
E: tcp upstream refused | tcp, upstream refuses
E: tcp missing cluster | tcp, no such cluster
E: tcp no endpoints | tcp, no endpoints
E: tcp client RST | tcp, client leaves
E: raw defaults hdr | bare: websocket
E: preserve case + trailers + PASS_THROUGH server | pass-through: chunked, case and trailers
E: PASS_THROUGH hop | pass-through: the upstream's server
E: mirror | mirror: GET
E: cors preflight ok | cors: preflight
E: cors preflight other origin | cors: preflight from elsewhere
E: cors simple | cors: simple
"""
#: What a file cannot say, with where it is tested instead.
ELSEWHERE = {
    "E: after SDS rotation": "secrets replaced while a proxy runs: tests/data_plane/http/test_tls*.py",
    "E: after bad secret (NACK)": "as above",
}
#: The facts by number, and cases that would differ if they did not hold.
FACTS: dict[int, tuple[str, ...]] = {
    1: ("connect refused, Istio's retries", "fault: delay and abort", "tcp, upstream refuses"),
    2: ("connect refused, no retry",),
    3: ("no endpoints", "no such cluster", "circuit breaker overflows", "cors: preflight"),
    4: ("no such cluster", "direct response", "redirect of host and path", "fault: abort"),
    5: ("POST in chunks, with trailers", "HEAD", "websocket"),
    6: ("client leaves before the response", "upstream closes amid the body"),
    7: ("unknown method", "no Host", "OPTIONS *", "path /one%00"),
    8: ("sidecar, client's headers",),
    9: ("headers sent upstream",),
    10: ("no endpoints", "no virtual host"),
    11: ("connect timeout", "upstream closes without a response", "upstream speaks no HTTP", "fault: abort"),
    12: ("upstream speaks no HTTP", "upstream closes amid the body", "upstream resets"),
    13: ("circuit breaker overflows", "418 gets Envoy's phrase"),
    14: ("one of two endpoints refuses", "fault: delay"),
    15: ("a route's header operations", "hop-by-hop and repeated response headers"),
    16: ("response until close", "chunked response with trailers", "pass-through: request trailers"),
    17: ("unknown method", "client says close, local 404", "client says close"),
    18: (
        "Host with an odd port",
        "Host in upper case",
        "Host with a trailing dot",
        "two Hosts",
        "empty Host",
    ),
    19: ("absolute form", "absolute form, https"),
    20: ("path /onetwo", "path /root/x", "path /gwroot/x?y=1"),
    21: ("path /re/12?x=1", "path /exact?x=1", "path /ICASE/A"),
    22: ("path /one/%2e%2e/two", "path /on%65", "path /one\\x", "path /one%zz", "path /one%00"),
    23: ("/hm, jason then x", "/hinv, none", "path /qp?v=2&v=1"),
    24: ("connect refused, Istio's retries", "one of two endpoints refuses, no retry"),
    25: ("default route timeout",),
    26: ("client's x-envoy-*", "client's x-forwarded-*", "client's request id, no UUID"),
    27: ("sidecar, client's headers",),
    28: ("client's hop-by-hop headers", "TE: trailers"),
    29: ("repeated and mixed-case headers", "folded header", "non-ASCII in a value"),
    30: ("expect 100-continue", "expect 100-continue, the upstream decides", "POST without length"),
    31: ("61 KiB of header", "101 headers", "length and chunks", "gzip, chunked", "LF alone"),
    32: ("HTTP/1.0 is not accepted", "HTTP/1.0 accepted", "version 3.7"),
    33: ("upgrade not configured", "upgrade to h2c is ignored", "websocket answered with 200"),
    34: ("mirror: GET", "cors: preflight", "cors: preflight from elsewhere"),
    35: ("https: a server name that nobody has", "https: no server name", "https: plain HTTP on its port"),
    36: ("tcp, upstream refuses", "tcp, no such cluster", "tcp, no endpoints"),
}
_HEADER_VALUES = {
    "dup jason,x": "jason then x",
    "dup x,jason": "x then jason",
    "joined": "joined",
    "none": "none",
}
_LISTENERS = {"Envoy defaults": "bare", "normalize": "strict-paths"}


def case_of_row(row: str) -> str:
    """The case that is a row; empty when there is none."""
    named = dict(line.split(" | ") for line in _NAMED.strip().splitlines())
    if row in named:
        return named[row]
    if found := re.fullmatch(r"C: `(.*)`", row):
        return f"path {found[1]}"
    if found := re.fullmatch(r"E: hdr match (\S+) (.*)", row):
        return f"{found[1]}, {_HEADER_VALUES[found[2]]}"
    if found := re.fullmatch(r"E: path (\S+) — (Envoy defaults|normalize).*", row):
        return f"{_LISTENERS[found[2]]}: path {found[1]}"
    return ""


def rows_of_notes(text: str) -> tuple[list[int], list[str]]:
    """The numbers of the facts, and the names of the rows."""
    facts = [int(number) for number in re.findall(r"^(\d+)\. ", text, re.MULTILINE)]
    rows: list[str] = []
    for section in re.split(r"^## (?=[A-E]\. )", text, flags=re.MULTILINE)[1:]:
        lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
        first_cells = (re.split(r"(?<!\\)\|", line)[1].strip() for line in lines)
        rows += [_name(section[0], cell) for cell in first_cells]
    return facts, rows


def _name(chapter: str, cell: str) -> str:
    """Paths in chapter E differ only by what stands behind the dash."""
    return f"{chapter}: {cell if cell.startswith('path ') else cell.split(' — ')[0]}"
