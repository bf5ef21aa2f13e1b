"""Requests to upgrade: what follows one goes to an upstream that has agreed, and to no other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.fuzz.wire import InMemoryProxy

UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
BEHIND = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
AGREED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
DECLINED = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
    b"HTTP/1.1 426 Upgrade Required\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
)
FRAMINGS = (b"", b"content-length: 0\r\n", b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n")


@pytest.fixture(scope="module")
def proxy() -> Iterator[InMemoryProxy]:
    made = InMemoryProxy(upgrade_types=frozenset({"websocket"}))
    yield made
    made.close()


def converse(proxy: InMemoryProxy, pieces: Sequence[bytes], answer: bytes) -> tuple[bytes, bytes]:
    """What the upstream got behind the head of the first request, and what the client got."""
    outcome = proxy.converse(pieces, lambda *_: [answer])
    assert len(outcome.upstream) == 1, "nothing but the request to upgrade is forwarded"
    assert not outcome.left_over
    return outcome.upstream[0].partition(b"\r\n\r\n")[2], outcome.client


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("answer", DECLINED)
def test_who_declines_gets_nothing_more(
    proxy: InMemoryProxy, answer: bytes, framing: bytes, together: bool
) -> None:
    head = UPGRADE + framing + b"\r\n"
    behind, client = converse(proxy, [head + BEHIND] if together else [head, BEHIND], answer)
    assert behind == b""
    assert client.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_who_agrees_gets_it_all(proxy: InMemoryProxy, method: bytes) -> None:
    head = UPGRADE.replace(b"GET", method) + b"\r\n"
    behind, client = converse(proxy, [head + b"early ", b"late"], AGREED + b"hello")
    assert behind == b"early late"
    assert client.startswith(b"HTTP/1.1 101 ")
    assert client.endswith(b"\r\n\r\nhello")
