"""A connection's memo of its last header block: the same answer as reading it, sooner."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from minimesh.data_plane.http.block_memo import fill
from minimesh.data_plane.http.header_block import Refusal
from minimesh.data_plane.http.http1.head import RequestReader, ResponseReader

START = b"GET / HTTP/1.1\r\nHost: h\r\nA: 1\r\n"


def read(data: bytes, before: Sequence[bytes] = ()) -> tuple[object, ...]:
    """What a reader that has read `before` makes of `data`: line, headers, framing, length."""
    reader = RequestReader()
    for each in before:
        reader.read(each)
    found = reader.read(data)
    if found is None or isinstance(found, Refusal):
        return (found,)
    line, block, values, length = found
    fields = tuple((name, fill(value, values)) for name, value in block.fields)
    kept = {name: fill(value, values) for name, value in block.kept.items()}
    facts = (line.method, line.path, line.authority, line.version)
    return (*facts, fields, kept, block.content_length, block.chunked, length)


def cookie(value: bytes, rest: bytes = b"B: 2\r\n") -> bytes:
    return START + b"Cookie: " + value + b"\r\n" + rest + b"\r\n"


def test_a_value_that_changes_leaves_the_rest_of_the_block_known() -> None:
    reader = RequestReader()
    blocks = []
    for number in range(5):
        found = reader.read(cookie(b"n=%d" % number))
        assert isinstance(found, tuple)
        blocks.append(found[1])
    assert blocks[2] is blocks[3] is blocks[4]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(cookie(b"n=3"), id="other value"),
        pytest.param(cookie(b""), id="empty value"),
        pytest.param(cookie(b"  n=3\t "), id="blanks around the value"),
        pytest.param(cookie(b"a\r\nX: y"), id="a line more"),
        pytest.param(cookie(b"a\r\nContent-Length: 5"), id="a length more"),
        pytest.param(cookie(b"a\r\nTransfer-Encoding: chunked"), id="a coding more"),
        pytest.param(cookie(b"a\nContent-Length: 5"), id="a line more after LF alone"),
        pytest.param(cookie(b"a\r\n folded"), id="folded value"),
        pytest.param(cookie(b"a\0b"), id="NUL"),
        pytest.param(cookie(b"a\rb"), id="CR alone"),
        pytest.param(cookie(b"a\x7f"), id="DEL"),
        pytest.param(cookie(b"a\tb"), id="tab"),
        pytest.param(cookie(b"a\xff\xa0"), id="beyond ASCII"),
        pytest.param(cookie(b"%s %d {0}"), id="signs of formats"),
        pytest.param(cookie(b"n=3") + cookie(b"n=4"), id="two at once"),
        pytest.param(cookie(b"n=3")[:-2], id="not complete"),
        pytest.param(cookie(b"n=3").replace(b"/ ", b"/\r\nB: "), id="line end in the target"),
        pytest.param(cookie(b"n=3").replace(b"GET", b"get"), id="method refused"),
        pytest.param(cookie(b"n=3").replace(b"HTTP/1.1", b"HTTP/1.0"), id="version refused"),
        pytest.param(cookie(b"n=3").replace(b"HTTP/1.1\r", b"HTTP/1.1"), id="LF after the first line"),
        pytest.param(cookie(b"c" * 70_000), id="too large"),
        pytest.param(cookie(b"n=3", b"b: 2\r\n"), id="a name written otherwise"),
        pytest.param(cookie(b"n=3", b"B: 2\r\nHost: other\r\n"), id="a second host"),
    ],
)
def test_bytes_mean_the_same_whatever_came_before(data: bytes) -> None:
    assert read(data, [cookie(b"n=1"), cookie(b"n=2")]) == read(data)
    assert read(data, [cookie(b"n=1")]) == read(data)


def test_several_values_may_change() -> None:
    requests = [
        START + b"X-Request-Id: %d\r\nB: 2\r\nCookie: %d\r\n\r\n" % (number, number * 7)
        for number in range(6)
    ]
    reader = RequestReader()
    for number, data in enumerate(requests):
        found = reader.read(data)
        assert isinstance(found, tuple)
        assert read(data) == read(data, requests[:number])
    assert found[2] == ("5", "35")


@pytest.mark.parametrize("name", [b"Content-Length", b"Host", b"Connection", b"Expect", b"Upgrade"])
def test_headers_that_decide_how_to_go_on_are_read_each_time(name: bytes) -> None:
    requests = [START + name + b": %d\r\n\r\n" % number for number in range(4)]
    for number, data in enumerate(requests):
        assert read(data, requests[:number]) == read(data)


def test_responses() -> None:
    reader = ResponseReader()
    heads = [
        b"HTTP/1.1 200 OK\r\nDate: now %d\r\nContent-Length: 3\r\nX-Envoy-Upstream-Service-Time: %d\r\n\r\n"
        % (number, number)
        for number in range(4)
    ]
    for number, head in enumerate(heads):
        found = reader.read(head + b"abc")
        assert isinstance(found, tuple)
        status, http11, block, values, length = found
        assert (status, http11, block.content_length, length) == (200, True, 3, len(head))
        assert fill(block.fields[0][1], values) == f"now {number}"
    assert values == ("now 3", "3")
    changed = reader.read(heads[0].replace(b"200", b"404"))
    assert isinstance(changed, tuple)
    assert changed[0] == 404
