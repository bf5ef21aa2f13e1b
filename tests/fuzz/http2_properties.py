"""What must hold of an HTTP/2 client's bytes: what is sent on to an HTTP/1 upstream is what was meant."""

from __future__ import annotations

from collections.abc import Sequence

from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame, GoAwayFrame

from tests.fuzz.http2_grammar import Meant
from tests.fuzz.llhttp import Message
from tests.fuzz.properties import check_what_upstreams_got, cut
from tests.fuzz.wire import InMemoryProxy, Outcome

MAX_ANSWER_BYTES = 64 * 1024
"""No bytes of a few hundred make the proxy say more than this."""


def check_http2(
    proxy: InMemoryProxy, data: bytes, cuts: Sequence[int] = (), meant: Sequence[Meant] | None = None
) -> None:
    """Whatever a client sends. `meant`: its requests, where that is known."""
    outcome = _converse(proxy, [data])
    forwarded = check_what_upstreams_got(outcome)
    assert not outcome.left_over, outcome.left_over
    assert len(outcome.client) < MAX_ANSWER_BYTES, f"{len(outcome.client)} bytes for {len(data)}"
    broken = any(map(_is_error, _frames(outcome.client)))
    pieces = cut(data, cuts)
    again = check_what_upstreams_got(_converse(proxy, pieces)) if len(pieces) > 1 else forwarded
    if meant is None:
        return  # a reset or an error takes with it what came in by the same read
    _check_meant(forwarded, meant)
    if not broken and all(map(_has_its_length, meant)):
        assert sorted(map(_essence, again)) == sorted(map(_essence, forwarded)), "other requests in pieces"


def _converse(proxy: InMemoryProxy, pieces: Sequence[bytes]) -> Outcome:
    outcome = proxy.converse(pieces)
    outcome.upstream = [_ascii(wire) for wire in outcome.upstream]
    return outcome


#: Paths may have bytes above ASCII here, as with Envoy; llhttp refuses them. They frame nothing.
_ABOVE_ASCII = bytes(range(0x80)) + b"~" * 0x80


def _ascii(data: bytes) -> bytes:
    return data.translate(_ABOVE_ASCII)


def _frames(data: bytes) -> list[Frame]:
    """What we say is whole frames, unless it is HTTP/1's answer to what is no HTTP/2: then none."""
    frames: list[Frame] = []
    while data and not data.startswith(b"HTTP/1.1 "):
        try:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            assert len(data) >= 9 + length, f"half a frame: {data!r}"
            frame.parse_body(memoryview(data[9 : 9 + length]))
        except HyperframeError as error:
            raise AssertionError(f"no frame: {data!r}") from error
        frames.append(frame)
        data = data[9 + length :]
    return frames


def _is_error(frame: Frame) -> bool:
    return isinstance(frame, GoAwayFrame) and frame.error_code != 0


def _check_meant(forwarded: Sequence[Message], meant: Sequence[Meant]) -> None:
    waiting = list(meant)
    for message in forwarded:
        found = next((each for each in waiting if _is_meant(message, each)), None)
        assert found is not None, f"nobody meant {message}; but {meant}"
        waiting.remove(found)


def _has_its_length(meant: Meant) -> bool:
    """What is longer than announced is sent on as far as announced, if that came first."""
    return meant.value(b"content-length") in (None, b"%d" % len(meant.body))


def _is_meant(sent: Message, meant: Meant) -> bool:
    host = meant.value(b":authority") or meant.value(b"host") or b""
    marked = [
        (name.decode(), _ascii(value.strip()).decode()) for name, value in meant.headers if _marks(name)
    ]
    return (
        sent.method.encode() == meant.value(b":method")
        and sent.target.encode() == _ascii(meant.value(b":path") or b"")
        and sent.values("host") == [host.decode("latin-1")]
        and sent.body == meant.body
        and [pair for pair in sent.fields if _marks(pair[0].encode())] == marked
    )


def _marks(name: bytes) -> bool:
    return name.startswith(b"x-fuzz")


def _essence(message: Message) -> tuple[object, ...]:
    """All but the framing: an empty body that is known to be one has a length, one that is not is chunked."""
    fields = [pair for pair in message.fields if pair[0] not in ("content-length", "transfer-encoding")]
    return message.method, message.target, fields, message.body
