"""What a case is: who asks what, how the upstream behaves, and what the client does then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Answer:
    """What the upstream does with a request, byte by byte."""

    raw: bytes
    #: What becomes of the connection; `hang` says nothing more, `tunnel` echoes four bytes and closes.
    then: Literal["keep", "close", "reset", "hang", "tunnel"] = "keep"
    after_s: float = 0.0
    #: Sent as soon as the head has come, before the body is read.
    before_body: bytes = b""


#: The plain answer; its reason phrase and `server` must not get through a gateway.
OK = Answer(
    b"HTTP/1.1 200 Whatever\r\nContent-Type: application/json\r\nServer: up/1\r\nContent-Length: 2\r\n\r\n{}"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One row: the same bytes go to both proxies, and the same answer comes from behind."""

    name: str
    request: bytes
    upstream: Answer = OK
    listener: str = "gateway"
    #: The client sends the second when what it has received ends with the first, in this order.
    then: tuple[tuple[bytes, bytes], ...] = ()
    #: How many complete answers the client waits for; 0: it waits for the proxy to close.
    answers: int = 1
    #: The client resets the connection as soon as the upstream has the request.
    leaves: bool = False
    #: The client closes its sending side as soon as the upstream has the request.
    half_closes: bool = False
    #: So many connections at once (the first has reached the upstream when the others begin), or one after
    #: the other; results are compared as a set.
    at_once: int = 1
    in_turn: int = 1
    #: Why the number of tries may differ from run to run, where it may.
    tries_vary: bool = False
