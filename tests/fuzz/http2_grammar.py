"""HTTP/2 with something wrong: what a client may send, as frames, and what its requests meant.

A connection is drawn as a list of frames; the header lists and bodies that they carry are known, so that
a request which comes out on the other side can be compared with what was meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import strategies as st

from tests.fuzz.grammar import mutated

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
Header = tuple[bytes, bytes]

GOOD_PSEUDO: list[Header] = [
    (b":method", b"POST"), (b":path", b"/a"), (b":scheme", b"http"), (b":authority", b"a")
]  # fmt: skip
_PSEUDO_VALUES = {
    b":method": (b"GET", b"HEAD", b"CONNECT", b"", b"G T", b"GET / HTTP/1.1\r\nx: y"),
    b":path": (b"", b"*", b"a", b"/a b", b"/ HTTP/1.1\r\nx: y", b"/\x00", b"/#", b"//", b"/\xff"),
    b":scheme": (b"https", b"", b"ftp", b"http\r\n"),
    b":authority": (b"", b"a\r\nx: y", b"a b", b"a@b", b"a, b", b"\x00"),
    b":status": (b"200",),
    b":protocol": (b"websocket",),
    b":odd": (b"x",),
    b":": (b"x",),
}
_FIELD_VALUES = {
    b"x-fuzz-a": (b"v", b"", b" v", b"v\r\nx: y", b"v\nx", b"v\x00", b"\xe4", b"v\t", b"\r\n\r\n"),
    b"content-length": (b"3", b"0", b"5", b"+3", b"3,3", b"", b"03", b"99999999999999999999"),
    b"transfer-encoding": (b"chunked",),
    b"connection": (b"close", b"x-fuzz-a"),
    b"te": (b"gzip", b"trailers"),
    b"host": (b"a", b"b"),
    b"upgrade": (b"h2c",),
    b"keep-alive": (b"5",),
    b"cookie": (b"a", b"b"),
    b"expect": (b"100-continue",),
    b"x-fuzz-b": (b"w" * 100,),
}
_ODD_NAMES = (b"X-Upper", b"x y", b"", b"x:y", b"x\r\ny", b"x\x00", b"x\xe4", b"x\n")


def _headers(values: dict[bytes, tuple[bytes, ...]]) -> list[Header]:
    return [(name, value) for name, several in values.items() for value in several]


_ODD_PSEUDO = st.sampled_from(_headers(_PSEUDO_VALUES))
_FIELDS = st.sampled_from([*_headers(_FIELD_VALUES), *((name, b"v") for name in _ODD_NAMES)])


@dataclass(slots=True)
class Meant:
    """One request, as its client meant it."""

    headers: list[Header] = field(default_factory=list)
    body: bytes = b""

    def value(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Connection:
    """The bytes of a client, and its requests. `intact`: the bytes are those of the frames."""

    data: bytes
    requests: list[Meant]
    intact: bool = True


@st.composite
def _header_lists(draw: st.DrawFn) -> list[Header]:
    headers = list(GOOD_PSEUDO)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        odd = draw(_ODD_PSEUDO)
        at = [index for index, (name, _) in enumerate(headers) if name == odd[0]]
        if at and draw(st.integers(0, 3)):
            headers[at[0]] = odd
        else:
            headers.insert(draw(st.integers(0, len(headers))), odd)
    if not draw(st.integers(0, 9)):
        headers.pop(draw(st.integers(0, len(headers) - 1)))
    headers += draw(st.lists(_FIELDS, max_size=3))
    return draw(st.permutations(headers)) if not draw(st.integers(0, 9)) else headers


@st.composite
def _stream(draw: st.DrawFn, encoder: Encoder, number: int, meant: Meant) -> list[Frame]:
    meant.headers = draw(_header_lists())
    block = encoder.encode(meant.headers, huffman=draw(st.booleans()))
    pieces = draw(st.lists(st.sampled_from([b"abc", b"a", b"", b"0\r\n\r\n", b"hello"]), max_size=3))
    meant.body = b"".join(pieces)
    frames: list[Frame] = []
    at = draw(st.integers(0, len(block)))
    head = HeadersFrame(number, block[:at])
    frames.append(head)
    if at < len(block) or not draw(st.integers(0, 3)):
        frames.append(ContinuationFrame(number, block[at:]))
    if draw(st.integers(0, 19)):
        frames[-1].flags.add("END_HEADERS")
    if not draw(st.integers(0, 9)):
        head.flags.add("PADDED")
        head.pad_length = 3
    frames += [DataFrame(number, piece) for piece in pieces]
    trailers = draw(st.lists(_FIELDS, max_size=2)) if not draw(st.integers(0, 4)) else None
    if trailers is not None:
        frames.append(HeadersFrame(number, encoder.encode(trailers), flags=["END_HEADERS"]))
    if draw(st.integers(0, 7)):
        (head if not pieces and trailers is None else frames[-1]).flags.add("END_STREAM")
    return frames


_CONTROL = st.builds(
    lambda make, number: make(number),
    st.sampled_from(
        [
            lambda number: RstStreamFrame(number or 1, 8),
            lambda number: WindowUpdateFrame(number, 1000),
            lambda number: WindowUpdateFrame(number, 2**31 - 1),
            lambda number: PriorityFrame(number or 1, depends_on=0, stream_weight=1, exclusive=False),
            lambda _: PingFrame(0, b"12345678"),
            lambda _: SettingsFrame(0, {4: 2**31 - 1}),
            lambda _: SettingsFrame(0, {4: 0}),
            lambda _: SettingsFrame(0, {1: 0, 5: 16384}),
            lambda _: SettingsFrame(0, flags=["ACK"]),
            lambda _: GoAwayFrame(0, 0, 0),
            lambda number: DataFrame(number or 1, b"stray"),
            lambda number: DataFrame(number or 1, b"", flags=["END_STREAM"]),
            lambda number: ContinuationFrame(number or 1, b"\x82", flags=["END_HEADERS"]),
            lambda number: HeadersFrame(number or 1, b"\x82\xff\xff\xff\xff\xff", flags=["END_HEADERS"]),
        ]
    ),
    st.sampled_from([0, 1, 3, 5, 2]),
)


@st.composite
def connections(draw: st.DrawFn) -> Connection:
    """One to three requests with control frames between; mutated now and then."""
    encoder = Encoder()
    requests: list[Meant] = []
    frames: list[Frame] = [SettingsFrame(0, {})] if draw(st.integers(0, 19)) else []
    for number in range(draw(st.integers(1, 3))):
        meant = Meant()
        requests.append(meant)
        frames += draw(_stream(encoder, 2 * number + 1, meant))
    disturbed = draw(st.sampled_from([0, 0, 1, 2]))
    for _ in range(disturbed):
        frames.insert(draw(st.integers(0, len(frames))), draw(_CONTROL))
    data = PREFACE + b"".join(frame.serialize() for frame in frames)
    whole = draw(mutated(st.just(data)))
    return Connection(whole, requests, intact=not disturbed and whole == data)
