"""What a case is: who asks what, how the upstream behaves, and what the client does then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.conformance.bootstraps.shapes import Setting
from tests.conformance.frames import Data, Head, Step


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream does with a request, byte by byte."""

    raw: bytes
    #: What becomes of the connection; `hang` says nothing more, `tunnel` echoes four bytes and closes,
    #: `half-close` ends its own sending and reads on.
    then: Literal["keep", "close", "reset", "hang", "tunnel", "half-close"] = "keep"
    after_s: float = 0.0
    #: Sent as soon as the head has come, before the body is read.
    before_body: bytes = b""
    #: How many bytes are sent at a time, a moment between them; 0: all at once.
    cut: int = 0
    #: How long it takes until the body is read.
    reads_after_s: float = 0.0


#: The plain answer; its reason phrase and `server` must not get through a gateway.
OK = Answer(
    b"HTTP/1.1 200 Whatever\r\nContent-Type: application/json\r\nServer: up/1\r\nContent-Length: 2\r\n\r\n{}"
)

#: The same from the upstream that speaks HTTP/2.
OK_IN_FRAMES: tuple[Step, ...] = (
    Head(((":status", "200"), ("content-type", "application/json"), ("server", "up/2")), end=False),
    Data(b"{}"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row: the same bytes go to both proxies, and the same answer comes from behind."""

    name: str
    #: What a client of HTTP/1 sends. A client of HTTP/2 takes these steps.
    request: bytes | tuple[Step, ...]
    upstream: Answer = OK
    #: What the upstream that speaks HTTP/2 says to each request; the last one stays.
    frames: tuple[tuple[Step, ...], ...] = (OK_IN_FRAMES,)
    listener: str = "gateway"
    #: What the upstreams do with the second request and those after it; the last one stays.
    later: tuple[Answer, ...] = ()
    #: The client sends the second when what it has received ends with the first, in this order.
    then: tuple[tuple[bytes, bytes], ...] = ()
    #: How many complete answers the client waits for; 0: it waits for the proxy to close.
    answers: int = 1
    #: The client resets the connection as soon as the upstream has the request.
    leaves: bool = False
    #: The client closes its sending side as soon as the upstream has the request.
    half_closes: bool = False
    #: Speak TLS, with this server name; empty: with none.
    sni: str | None = None
    alpn: tuple[str, ...] = ()
    #: How many bytes the client sends at a time, a moment between them; 0: all at once.
    cut: int = 0
    #: One connection for each byte of the request, which is sent in two pieces, cut there.
    cut_everywhere: bool = False
    #: How long the client waits before it reads anything.
    reads_after_s: float = 0.0
    #: So many connections at once (the first has reached the upstream when the others begin), or one after
    #: the other; results are compared as a set, and nothing is counted.
    at_once: int = 1
    in_turn: int = 1
    #: The number of tries may differ from run to run.
    tries_vary: bool = False
    #: Ask only when this statistic has this value.
    once: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Chapter:
    """Cases on one subject, which run on one bootstrap file."""

    name: str
    setting: Setting
    cases: tuple[Case, ...]
