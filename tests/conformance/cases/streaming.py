"""Bytes in pieces, early and late answers, half-closed connections, large bodies both ways, pipelining."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.case import OK, Answer, Case
from tests.conformance.cases.requests import answer, get, post, raw, status

_CHUNKS = "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
_TRAILERS = "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
_CHUNKED = ("Transfer-Encoding: chunked",)
_MEGABYTES = 3 * 1024 * 1024
_LARGE = "0123456789abcdef" * (_MEGABYTES // 16)
_RESPONSE = answer("200 OK", "X-A: 1", *_CHUNKED, body=_CHUNKS)
_EARLY = Answer(b"", before_body=OK.raw)

PIECES = (
    Case("pieces: a GET cut at every byte", get("/p"), cut_everywhere=True),
    Case("pieces: a POST cut at every byte", post("/p"), cut_everywhere=True),
    Case(
        "pieces: chunks cut at every byte",
        get("/p", *_CHUNKED, method="POST", body=_CHUNKS),
        cut_everywhere=True,
    ),
    Case("pieces: a bad head cut at every byte", raw("GET /p HTTP/1.1", "Bad Name: 1"), cut_everywhere=True),
    Case("pieces: two requests cut at every byte", get("/p") + get("/q"), cut_everywhere=True, answers=2),
    Case("pieces: a POST byte by byte", post("/p"), cut=1),
    Case("pieces: chunks byte by byte", get("/p", *_CHUNKED, method="POST", body=_CHUNKS), cut=1),
    Case("pieces: trailers byte by byte", get("/p", *_CHUNKED, method="POST", body=_TRAILERS), cut=1),
    Case("pieces: a response byte by byte", get("/p"), replace(OK, cut=1)),
    Case("pieces: a chunked response byte by byte", get("/p"), replace(_RESPONSE, cut=1)),
    Case(
        "pieces: a response until close, byte by byte",
        get("/p"),
        replace(answer("200 OK", body="until close", then="close"), cut=1),
    ),
    Case(
        "pieces: interim responses byte by byte",
        get("/p"),
        Answer(b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK.raw, cut=1),
    ),
    Case(
        "pieces: a malformed response byte by byte",
        get("/p"),
        Answer(b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n", cut=1, then="hang"),
    ),
    Case(
        "pieces: chunks cut short byte by byte",
        get("/p"),
        replace(answer("200 OK", *_CHUNKED, body="5\r\nhe", then="close"), cut=1),
    ),
)

BODIES: tuple[Case, ...] = (
    Case("large: 3 MB up", post("/l", body=_LARGE)),
    Case(
        "large: 3 MB up in chunks",
        get("/l", *_CHUNKED, method="POST", body=f"{_MEGABYTES:x}\r\n{_LARGE}\r\n0\r\n\r\n"),
    ),
    Case(
        "large: 3 MB up, the upstream takes its time", post("/l", body=_LARGE), replace(OK, reads_after_s=0.2)
    ),
    Case("large: 3 MB down", get("/l"), answer("200 OK", f"Content-Length: {_MEGABYTES}", body=_LARGE)),
    Case(
        "large: 3 MB down, the client takes its time",
        get("/l"),
        answer("200 OK", f"Content-Length: {_MEGABYTES}", body=_LARGE),
        reads_after_s=0.3,
    ),
    Case(
        "large: 3 MB down in chunks",
        get("/l"),
        answer("200 OK", *_CHUNKED, body=f"{_MEGABYTES:x}\r\n{_LARGE}\r\n0\r\n\r\n"),
    ),
    Case("large: 3 MB until close", get("/l"), answer("200 OK", body=_LARGE, then="close")),
    Case(
        "large: retried with 1 MB", post("/retry/5xx", body=_LARGE[: 1000 * 1000]), status(503), later=(OK,)
    ),
    Case(
        "large: 3 MB to no route",
        raw("POST / HTTP/1.1", "Host: no.com", f"Content-Length: {_MEGABYTES}", body=_LARGE),
    ),
)

BODIES += tuple(
    Case(
        f"large: {name}, {'passed on' if listener == 'pass-through' else 'ending here'}",
        get("/l", *_CHUNKED, method="POST", body=f"3\r\nabc\r\n0\r\n{trailers}\r\n"),
        listener=listener,
    )
    for listener in ("gateway", "pass-through")
    for name, trailers in {
        "a trailer of 62 KB": f"X: {'x' * 62_000}\r\n",
        "trailers of 90 KB": "".join(f"X-{each}: {'x' * 30_000}\r\n" for each in range(3)),
        "100 trailers": "".join(f"X-{each}: a\r\n" for each in range(100)),
        "101 trailers": "".join(f"X-{each}: a\r\n" for each in range(101)),
    }.items()
)

EARLY = (
    Case("early: answered before the body is read", post("/e", body="x" * 1000), _EARLY),
    Case(
        "early: answered before the body is sent",
        get("/e", "Content-Length: 3", method="POST"),
        Answer(b"", before_body=status(413).raw),
    ),
    Case(
        "early: answered and closed before the body is sent",
        get("/e", "Content-Length: 3", method="POST"),
        Answer(
            b"",
            before_body=answer("413 Too Large", "Connection: close", "Content-Length: 0").raw,
            then="close",
        ),
    ),
    Case("early: half-closed after the answer", get("/e"), replace(OK, then="half-close")),
    Case("early: half-closed instead of an answer", get("/e"), Answer(b"", then="half-close")),
    Case(
        "early: half-closed in the midst of a body",
        get("/e"),
        answer("200 OK", "Content-Length: 9", body="half", then="half-close"),
    ),
    Case(
        "early: half-closed ends a body without length",
        get("/e"),
        answer("200 OK", body="all", then="half-close"),
    ),
    Case(
        "early: two interim responses",
        get("/e"),
        Answer(b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 H\r\nLink: a\r\n\r\n" + OK.raw),
    ),
    Case("early: a second response nobody asked for", get("/e"), Answer(OK.raw + OK.raw)),
    Case(
        "early: a reset in the midst of chunks",
        get("/e"),
        answer("200 OK", *_CHUNKED, body="5\r\nhello\r\n", then="reset"),
    ),
    Case("early: a reset behind the head", get("/e"), answer("200 OK", "Content-Length: 9", then="reset")),
    Case("early: a close within the head", get("/e"), Answer(b"HTTP/1.1 200 OK\r\nX-A", then="close")),
    Case(
        "early: no answer to an upgrade",
        get("/timeout", "Connection: Upgrade", "Upgrade: websocket"),
        Answer(b"", then="hang"),
    ),
    Case(
        "early: no answer to an upgrade with data behind it",
        get("/timeout", "Connection: Upgrade", "Upgrade: websocket", body="ping"),
        Answer(b"", then="hang"),
    ),
    Case("early: a close behind a 103", get("/e"), Answer(b"HTTP/1.1 103 Hints\r\n\r\n", then="close")),
    Case(
        "early: the client leaves in the midst of its body",
        get("/e", "Content-Length: 9", method="POST", body="abc"),
        leaves=True,
    ),
    Case(
        "early: the client half-closes in the midst of its body",
        get("/e", "Content-Length: 9", method="POST", body="abc"),
        half_closes=True,
    ),
)

PIPELINED = (
    Case("pipelined: ten", get("/p") * 10, answers=10),
    Case("pipelined: bodies between", post("/p") + post("/p", body="defg") + get("/q"), answers=3),
    Case(
        "pipelined: chunks, then a GET",
        get("/p", *_CHUNKED, method="POST", body=_CHUNKS) + get("/q"),
        answers=2,
    ),
    Case("pipelined: a bad one at the end", get("/p") + b"BAD\r\n\r\n", answers=2),
    Case("pipelined: behind a close", get("/p", "Connection: close") + get("/q"), answers=0),
    Case("pipelined: HEAD, then GET", get("/p") + get("/q"), answers=2),
    Case("pipelined: blank lines between", get("/p") + b"\r\n\r\n" + get("/q"), answers=2),
    Case(
        "pipelined: behind an upgrade that is refused",
        get("/p", "Connection: Upgrade", "Upgrade: foo") + get("/q"),
        answers=0,
    ),
)
