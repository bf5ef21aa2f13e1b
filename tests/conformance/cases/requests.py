"""Requests and answers as the cases write them."""

from __future__ import annotations

from tests.conformance.case import OK, Answer


def get(path: str, *headers: str, method: str = "GET", version: str = "HTTP/1.1", body: str = "") -> bytes:
    """A request to gs.xebia.com."""
    return raw(f"{method} {path} {version}", "Host: gs.xebia.com", "User-Agent: t", *headers, body=body)


def post(path: str, *headers: str, body: str = "abc") -> bytes:
    """A POST with a body of known length."""
    return get(path, *headers, f"Content-Length: {len(body)}", method="POST", body=body)


def raw(*lines: str, body: str = "") -> bytes:
    """A request of these lines."""
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def answer(status: str, *headers: str, body: str = "", then: str = "keep", after_s: float = 0.0) -> Answer:
    text = "\r\n".join((f"HTTP/1.1 {status}", *headers)) + "\r\n\r\n" + body
    return Answer(text.encode("latin-1"), then=then, after_s=after_s)  # type: ignore[arg-type]


def status(code: int) -> Answer:
    return answer(
        f"{code} Whatever", "Content-Type: application/json", "Server: up/1", "Content-Length: 2", body="{}"
    )


def empty(code: int, *headers: str) -> Answer:
    """Without a body, its whole is there with its head."""
    return answer(f"{code} Whatever", *headers, "Content-Length: 0")


def slow(after_s: float) -> Answer:
    return Answer(OK.raw, after_s=after_s)


CLOSE = Answer(b"", then="close")
RESET = Answer(b"", then="reset")
