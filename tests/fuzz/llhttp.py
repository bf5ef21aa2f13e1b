"""HTTP/1 as llhttp reads it, strict: the judge of what is sent on and of what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools


@dataclass(slots=True)
class Message:
    """One request or response."""

    method: str = ""
    target: str = ""
    status: int = 0
    fields: list[tuple[str, str]] = field(default_factory=list)
    """Names in lower case. Trailers are not among them."""
    body: bytes = b""
    headed: bool = False
    """Its head is complete."""
    complete: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


@dataclass(slots=True)
class Reading:
    """What a stretch of bytes says. `error` is llhttp's reason for reading no further, or empty."""

    messages: list[Message] = field(default_factory=list)
    error: str = ""
    upgraded: bool = False

    @property
    def complete(self) -> list[Message]:
        return [message for message in self.messages if message.complete]


class _Listener:
    """Gathers what the parser tells."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._in_head = False

    def on_message_begin(self) -> None:
        self.messages.append(Message())
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        self.messages[-1].target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head and name is not None:
            pair = name.decode("latin-1").lower(), (value or b"").decode("latin-1").strip(" \t")
            self.messages[-1].fields.append(pair)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self.messages[-1].headed = True

    def on_body(self, data: bytes) -> None:
        self.messages[-1].body += data

    def on_message_complete(self) -> None:
        self.messages[-1].complete = True


class _Requests(_Listener):
    parser: httptools.HttpRequestParser

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.messages[-1].method = self.parser.get_method().decode()


class _Responses(_Listener):
    parser: httptools.HttpResponseParser

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.messages[-1].status = self.parser.get_status_code()


def read_requests(data: bytes, *, lenient: bool = False) -> Reading:
    """All requests that stand one behind the other in `data`.

    `lenient`: as llhttp reads it when told to take LF for CRLF, folded lines, blanks behind a size.
    """
    listener = _Requests()
    listener.parser = httptools.HttpRequestParser(listener)
    if lenient:
        listener.parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_data_after_close=True,
        )
    return _read(listener, data)


def read_responses(data: bytes, methods: Sequence[str] = (), closed: bool = False) -> Reading:
    """All responses in `data` to requests with these methods, in order (what is not told is a GET).

    `closed`: nothing follows, so that a body without a length is complete. Interim responses count as
    messages and take up no method.
    """
    made = Reading()
    waiting = list(methods)
    while data:
        bodiless = bool(waiting) and waiting[0] == "HEAD"
        one, length = _read_response(data, bodiless)
        made.error, made.upgraded = one.error, one.upgraded
        made.messages += one.messages
        if not one.messages or not one.messages[0].complete or one.upgraded:
            break
        if one.messages[0].status >= 200 and waiting:
            waiting.pop(0)
        data = data[length:]
    last = made.messages[-1] if made.messages else None
    if closed and last is not None and last.status >= 200 and not _has_length(last):
        last.complete = True
    return made


def _has_length(message: Message) -> bool:
    return bool(message.values("content-length") or message.values("transfer-encoding"))


def _read_response(data: bytes, bodiless: bool) -> tuple[Reading, int]:
    """The first response and its length. llhttp does not tell where a message ends: it is asked bytewise."""
    listener = _Responses()
    listener.parser = httptools.HttpResponseParser(listener)
    head, separator, _ = data.partition(b"\r\n\r\n")
    if bodiless and separator:
        reading = _read(listener, head + separator)
        if reading.messages:
            reading.messages[0].complete = not reading.error
        return reading, len(head) + 4
    for at in range(len(data)):
        reading = _read(listener, data[at : at + 1])
        if reading.error or reading.upgraded or (reading.messages and reading.messages[0].complete):
            return reading, at + 1
    return Reading(listener.messages), len(data)


def _read(listener: _Requests | _Responses, data: bytes) -> Reading:
    try:
        listener.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return Reading(listener.messages, upgraded=True)
    except httptools.HttpParserError as error:
        return Reading(listener.messages, error=str(error) or type(error).__name__)
    return Reading(listener.messages)
