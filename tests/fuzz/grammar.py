"""HTTP/1 with something wrong: hypothesis strategies for requests, chunked bodies and responses.

Every message begins as a good one, built of parts; then some of the parts are of the kind that has split
servers' opinions before (RFC 9112, section 11, and the test suites of llhttp, h11, Envoy). Headers named
`x-fuzz-..` are there for being compared on the other side.
"""

from __future__ import annotations

from hypothesis import strategies as st

LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b" \r\n", b"\r\n ", b""])
_BLANKS = st.sampled_from([b" "] * 8 + [b"", b"\t", b"  ", b" \t ", b"\x0b", b"\xa0", b"\r\n ", b"\n "])
METHODS = st.sampled_from(
    [b"GET"] * 6
    + [b"POST"] * 6
    + [b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE", b"PURGE", b"SEARCH", b"LINK"]
    + [b"get", b"GETT", b"G", b"PRI", b"QUERY", b"", b"GET\t", b" GET", b"G\x00T", b"HTTP/1.1"]
)
_GOOD_TARGETS = [
    b"/",
    b"/a",
    b"/a?b=c",
    b"/a/../b",
    b"//x",
    b"/%2e%2e/",
    b"http://h/x",
    b"http://h?q",
    b"HTTP://h",
]
_ODD_TARGETS = [
    b"*", b"", b"a", b"h:80", b"/a#f", b"/a b", b"/\xff", b"/\x00", b"/\x7f", b"/\t", b"https://h/",
    b"http://", b"http:///x", b"http://u@h/", b"http://h\\x/", b"ftp://h/", b"/a\rb", b"?a", b"http://h#f",
    b"http://h:/", b"http://[::1]:80/", b"http://h:x/", b"/" + b"a" * 300, b"\\", b"/ HTTP/1.1\r\nx: y",
]  # fmt: skip
TARGETS = st.sampled_from(_GOOD_TARGETS * 3 + _ODD_TARGETS)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 12
    + [
        b"HTTP/1.0",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/0.9",
        b"HTTP/1.1 ",
        b"http/1.1",
        b"HTTP/1,1",
        b"HTTP/1.10",
        b"",
    ]
)
_HOSTS = st.sampled_from(
    [b"a"] * 8 + [b"", b"a:80", b"a, b", b"a b", b"a/b", b"a@b", b"[::1]", b"\xe4", b"a\x00"]
)
_VALUES = st.one_of(
    st.sampled_from([b"v", b"", b"a b", b'"q"', b"v\tw", b"\xe4", b"a,b", b"x" * 200]),
    st.sampled_from([b"\x00", b"a\rb", b"a\nb", b"a\x01", b"\x7f", b"a\r\n b", b"a\n\tb", b"\r\n\r\n"]),
)
_NAMES = st.sampled_from(
    [b"x-fuzz-a", b"x-fuzz-b", b"X-Fuzz-C"] * 3
    + [b"accept", b"cookie", b"te", b"trailer", b"expect", b"x-forwarded-for", b"via", b"keep-alive", b"x_y"]
    + [b"", b" x", b"x ", b"x\t", b"x:", b"x y", b"\x00", b"x\r", b"\xe4", b"(x)", b"x-fuzz-d\n", b"host"]
)
_LENGTHS = st.sampled_from(
    [b"0", b"1", b"3", b"5", b"05", b"+5", b"-5", b"5 ", b" 5", b"0x5", b"5,5", b"5, 5", b"5,6", b"5 5",
     b"",
     b"5\r\n 5", b"9999999999999999999999", b"18446744073709551621", b"\xd9\xa5", b"5;a", b"1_0", b"5.0",
     b"5\x0b"]
)  # fmt: skip
_CODINGS = st.sampled_from(
    [b"chunked"] * 6
    + [b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"chunked\x0b", b"\x0bchunked", b"chunked,",
       b",chunked",
       b"chunked, chunked", b"chunked,chunked", b"gzip, chunked", b"chunked, gzip", b"identity",
       b"chunked;a=b",
       b"identity, chunked", b"xchunked", b"chunke", b"", b"\"chunked\"", b"chunked\r\n ", b"\r\n chunked",
       b"cow, chunked", b"chunked\x00", b"chu nked"]
)  # fmt: skip
_CODING_NAMES = st.sampled_from(
    [b"transfer-encoding"] * 4
    + [b"Transfer-Encoding", b"TRANSFER-ENCODING", b"transfer_encoding", b"transfer-encoding ",
       b" transfer-encoding",
       b"transfer-encoding\t", b"x\r\ntransfer-encoding", b"\ntransfer-encoding", b"transfer-encoding\x00",
       b"xtransfer-encoding", b"transfer encoding"]
)  # fmt: skip
_LENGTH_NAMES = st.sampled_from(
    [b"content-length"] * 4
    + [b"Content-Length", b"content_length", b"content-length ", b" content-length", b"\rcontent-length",
       b"content-length\x00"]
)  # fmt: skip
_OPTIONS = st.sampled_from(
    [b"close", b"keep-alive", b"Close", b"x-fuzz-a", b"content-length", b"transfer-encoding", b"host",
     b"te",
     b"upgrade", b"close, keep-alive", b",", b"", b":path", b"x-forwarded-for", b"keep-alive, upgrade",
     b"HTTP2-Settings, upgrade", b"accept"]
)  # fmt: skip


@st.composite
def _line(draw: st.DrawFn, names: st.SearchStrategy[bytes], values: st.SearchStrategy[bytes]) -> bytes:
    return draw(names) + b":" + draw(_BLANKS) + draw(values) + draw(LINE_ENDS)


def _header_lines() -> st.SearchStrategy[bytes]:
    """One header line, good or odd."""
    return st.one_of(
        _line(_NAMES, _VALUES),
        _line(st.just(b"x-fuzz-e"), st.sampled_from([b"1", b"2"])),
        _line(_LENGTH_NAMES, _LENGTHS),
        _line(_CODING_NAMES, _CODINGS),
        _line(st.sampled_from([b"connection", b"Connection", b"proxy-connection"]), _OPTIONS),
        _line(st.just(b"upgrade"), st.sampled_from([b"websocket", b"h2c", b"", b"h2c, websocket"])),
        _line(st.sampled_from([b"host", b"Host"]), _HOSTS),
        st.sampled_from(
            [b" folded\r\n", b"\tfolded\r\n", b"no colon\r\n", b": no name\r\n", b"\r\n", b" \r\n"]
        ),
    )


# --- bodies ---

_SIZES = st.sampled_from(
    [b"+3", b"-3", b"0x3", b" 3", b"3 ", b"3\t", b"\t3", b"", b"g", b"3g", b"00000000000000003",
     b"ffffffffffffffff",
     b"10000000000000000", b"3\x00", b"3_0", b"3,", b"3.0", b"0000"]
)  # fmt: skip
_EXTENSIONS = st.sampled_from(
    [b""] * 8
    + [b";", b";a", b";a=b", b";a=\"b\"", b"; a = b", b" ;a", b";a=\"b;c\"", b";a=\"", b";\x00", b";a\rb",
       b";a\nb",
       b";\xe4", b"a", b" a", b";a=b;c=d", b";" + b"x" * 100, b";a=\"\r\n\"", b";a=\\"]
)  # fmt: skip


@st.composite
def _chunk(draw: st.DrawFn) -> bytes:
    data = draw(
        st.sampled_from([b"abc", b"a", b"0\r\n\r\n", b"hello world", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"])
    )
    size = draw(
        st.one_of(st.just(b"%x" % len(data)), st.just(b"%X" % len(data)), st.just(b"0%x" % len(data)), _SIZES)
    )
    end = draw(st.sampled_from([b"\r\n"] * 10 + [b"\n", b"\r", b"", b"x\r\n", b"\r\n\r\n", b" \r\n"]))
    return size + draw(_EXTENSIONS) + draw(LINE_ENDS) + data + end


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """A chunked body, most often whole."""
    chunks = b"".join(draw(st.lists(_chunk(), max_size=3)))
    last = (
        draw(st.sampled_from([b"0"] * 10 + [b"00", b"", b"0 ", b"-0", b"0x0"]))
        + draw(_EXTENSIONS)
        + draw(LINE_ENDS)
    )
    trailers = b"".join(draw(st.lists(_header_lines(), max_size=2)))
    return chunks + last + trailers + draw(LINE_ENDS)


def _bodies() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.just(b""),
        st.sampled_from(
            [b"abc", b"hello", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"\r\n", b"12345GET / HTTP/1.1\r\n"]
        ),
        chunked_bodies(),
    )


# --- requests ---


@st.composite
def good_requests(draw: st.DrawFn) -> bytes:
    """A request that nobody objects to, complete, on a connection that stays open."""
    body = draw(st.sampled_from([b"", b"abc", b"hello world"]))
    lines = [b"%b: %b\r\n" % pair for pair in draw(st.lists(_good_fields(), max_size=3))]
    if body and draw(st.booleans()):
        lines.append(b"transfer-encoding: chunked\r\n")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif body:
        lines.append(b"content-length: %d\r\n" % len(body))
    lines = draw(st.permutations([b"host: a\r\n", *lines]))
    method = b"POST" if body else draw(st.sampled_from([b"GET", b"HEAD", b"DELETE"]))
    target = draw(st.sampled_from([b"/", b"/a?b=c", b"http://h/x"]))
    return method + b" " + target + b" HTTP/1.1\r\n" + b"".join(lines) + b"\r\n" + body


def _good_fields() -> st.SearchStrategy[tuple[bytes, bytes]]:
    names = st.sampled_from([b"x-fuzz-a", b"x-fuzz-b", b"X-Fuzz-C", b"accept", b"user-agent", b"cookie"])
    return st.tuples(names, st.sampled_from([b"v", b"w", b"a b", b""]))


@st.composite
def odd_requests(draw: st.DrawFn) -> bytes:
    """A request of which some part is likely to be wrong."""
    blank = st.sampled_from([b" "] * 10 + [b"  ", b"\t", b"", b"\x0b", b"\r"])
    first = draw(METHODS) + draw(blank) + draw(TARGETS) + draw(blank) + draw(VERSIONS) + draw(LINE_ENDS)
    host = draw(
        st.sampled_from([b"Host: a\r\n"] * 10 + [b"", b"Host: a\n", b"Host: a\r\nHost: a\r\n", b"Host:\r\n"])
    )
    lines = b"".join(draw(st.lists(_header_lines(), max_size=4)))
    end = draw(st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"", b" \r\n", b"\r\r\n"]))
    return first + host + lines + end + draw(_bodies())


@st.composite
def framed_requests(draw: st.DrawFn) -> bytes:
    """Good but for what frames it: lengths, codings, chunks, and a request behind it."""
    line = st.one_of(_line(_LENGTH_NAMES, _LENGTHS), _line(_CODING_NAMES, _CODINGS))
    lines = b"".join(draw(st.lists(line, min_size=1, max_size=2)))
    return b"POST /framed HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n" + draw(_bodies())


@st.composite
def chunked_requests(draw: st.DrawFn) -> bytes:
    """Good but for its chunks."""
    return b"POST /chunked HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n" + draw(chunked_bodies())


def request_bytes() -> st.SearchStrategy[bytes]:
    """What a client may send on one connection: one to three requests of any kind, mutated now and then."""
    any_request = st.one_of(odd_requests(), framed_requests(), chunked_requests(), good_requests())
    return mutated(st.lists(any_request, min_size=1, max_size=3).map(b"".join))


# --- responses ---

_STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK"] * 10
    + [b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified",
       b"HTTP/1.1 404 Not Found",
       b"HTTP/1.1 500 X", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 999 X", b"HTTP/1.1 600 X",
       b"HTTP/1.1 099 X",
       b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK", b"HTTP/2.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/1.1  200 OK",
       b"HTTP/1.1\t200 OK", b"http/1.1 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK",
       b"HTTP/1.1 200 \xe4",
       b"ICY 200 OK", b"HTTP/1.1 200OK", b"HTTP/1.1 +20 OK", b" HTTP/1.1 200 OK", b"\r\nHTTP/1.1 200 OK",
       b"X", b"",
       b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 205 Reset Content"]
)  # fmt: skip
_INTERIM = st.sampled_from(
    [b""] * 10
    + [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
       b"HTTP/1.1 100 X\n\n",
       b"HTTP/1.1 102 Processing\r\ncontent-length: 5\r\n\r\n",
       b"HTTP/1.1 100 X\r\ntransfer-encoding: chunked\r\n\r\n"]
)  # fmt: skip


@st.composite
def _odd_responses(draw: st.DrawFn) -> bytes:
    lines = b"".join(draw(st.lists(_header_lines(), max_size=4)))
    end = draw(st.sampled_from([b"\r\n"] * 10 + [b"\n", b"\r", b"", b" \r\n"]))
    return draw(_INTERIM) + draw(_STATUS_LINES) + draw(LINE_ENDS) + lines + end + draw(_bodies())


@st.composite
def _framed_responses(draw: st.DrawFn) -> bytes:
    line = st.one_of(_line(_LENGTH_NAMES, _LENGTHS), _line(_CODING_NAMES, _CODINGS))
    lines = b"".join(draw(st.lists(line, max_size=2)))
    return b"HTTP/1.1 200 OK\r\nx-fuzz-a: b\r\n" + lines + b"\r\n" + draw(_bodies())


@st.composite
def _chunked_responses(draw: st.DrawFn) -> bytes:
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + draw(chunked_bodies())


def response_bytes() -> st.SearchStrategy[bytes]:
    """What an upstream may send back for one request, with something behind it now and then."""
    one = st.one_of(_odd_responses(), _framed_responses(), _chunked_responses())
    behind = st.sampled_from(
        [b""] * 6 + [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nspying", b"x", b"\r\n"]
    )
    return mutated(st.tuples(one, behind).map(b"".join))


# --- messages that repeat but for a value or two ---

_REPEATED_NAMES = st.sampled_from(
    [b"x-fuzz-a", b"X-Fuzz-B", b"cookie", b"x-request-id", b"authorization", b"user-agent", b"accept",
     b"date", b"traceparent", b"te", b"connection", b"x-forwarded-for", b"content-length", b"x-fuzz-a",
     b"transfer-encoding", b"expect", b"x-envoy-attempt-count", b"x-envoy-retry-on", b"if-none-match",
     b"content-type"]
)  # fmt: skip
_VARYING = st.sampled_from(
    [b"v", b"w", b"1", b"0", b"", b"a b", b" v", b"v ", b"\tv", b"v\t", b"v\tw", b"\xa0", b"\xe4", b"\xad",
     b"\x85", b"\x00", b"v\rw", b"v\nw", b"v\r\nx-fuzz-c: 2", b"v\r\n w", b"v\r\n\r\n", b"%s", b"%", b"%%",
     b"\x000\x00", b"{0}", b"\\1", b"chunked", b"close", b"x-fuzz-a", b"v\r\nx-fuzz-a: v", b":", b"v\r\n: x",
     b"\x0b", b"\x1f"]
)  # fmt: skip


@st.composite
def similar_blocks(draw: st.DrawFn) -> list[bytes]:
    """Header blocks that share names and most values, in order of their coming."""
    names = draw(st.lists(_REPEATED_NAMES, min_size=1, max_size=5))
    blank = draw(st.sampled_from([b" ", b" ", b"", b"  ", b"\t"]))
    values = [draw(st.sampled_from([b"v", b"w", b"3"])) for _ in names]
    blocks = []
    for _ in range(draw(st.integers(3, 7))):
        varied = list(values)
        for _ in range(draw(st.integers(0, 2))):
            varied[draw(st.integers(0, len(names) - 1))] = draw(_VARYING)
        if draw(st.booleans()):
            values = varied
        lines = [name + b":" + blank + value for name, value in zip(names, varied, strict=True)]
        if not draw(st.integers(0, 9)):
            lines = draw(st.permutations(lines))
        blocks.append(b"".join(line + b"\r\n" for line in lines))
    return blocks


@st.composite
def similar_requests(draw: st.DrawFn) -> list[bytes]:
    """Requests of one connection that repeat themselves, as clients do, but for a value or two."""
    lines = st.sampled_from(
        [b"GET /a HTTP/1.1", b"GET /b HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD / HTTP/1.1", b"GET /a HTTP/1.0",
         b"CONNECT /a HTTP/1.1", b"GET http://h/ HTTP/1.1", b"GET /a\nx: y HTTP/1.1", b"get /a HTTP/1.1",
         b"GET / HTTP/1.1\nx-fuzz-z: 1"]
    )  # fmt: skip
    usual = draw(lines)
    bodies = st.sampled_from([b"", b"", b"v", b"abc", b"3\r\nabc\r\n0\r\n\r\n"])
    return [
        (draw(lines) if not draw(st.integers(0, 3)) else usual)
        + b"\r\nhost: a\r\n" + block + b"\r\n" + draw(bodies)
        for block in draw(similar_blocks())
    ]  # fmt: skip


@st.composite
def similar_responses(draw: st.DrawFn) -> list[bytes]:
    """Responses of one connection that repeat themselves but for a value or two."""
    statuses = st.sampled_from([b"200 OK"] * 6 + [b"404 Not Found", b"304 X", b"204 X", b"100 X", b"500 X"])
    usual = draw(statuses)
    body = draw(st.sampled_from([b"content-length: 1\r\n", b"transfer-encoding: chunked\r\n"]))
    tail = b"1\r\nx\r\n0\r\n\r\n" if body.startswith(b"t") else b"x"
    return [
        b"HTTP/1.1 " + (draw(statuses) if not draw(st.integers(0, 3)) else usual)
        + b"\r\n" + block + body + b"\r\n" + tail
        for block in draw(similar_blocks())
    ]  # fmt: skip


# --- mutation ---

_SPLINTERS = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\x00",
        b" ",
        b"\t",
        b":",
        b"\r\n ",
        b"\r\n\r\n",
        b"\xff",
        b"0",
        b",",
        b";",
        b"\x0b",
    ]
)


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Four times in five as it was drawn; else with splinters, a piece taken out or the end cut off."""
    data = draw(whole)
    if not data or draw(st.integers(0, 4)):
        return data
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            data = data[:at] + draw(_SPLINTERS) + data[at:]
        elif kind == 1:
            data = data[:at] + draw(_SPLINTERS) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + data[at + draw(st.integers(1, 4)) :]
        else:
            data = data[:at]
    return data


CUTS = st.lists(st.integers(0, 400), max_size=4)
