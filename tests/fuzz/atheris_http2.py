"""Coverage-guided fuzzing of HTTP/2 clients: `python -m tests.fuzz.atheris_http2 [-max_total_time=SECONDS]`.

Raw bytes behind the preface: no traceback, no stream left over, an answer of bounded length, and nothing sent
on but whole requests. Findings are left in `.hypothesis/`.
"""

from __future__ import annotations

import atheris

from tests.fuzz.atheris_runner import fuzz

with atheris.instrument_imports(include=["minimesh.data_plane.http", "h2", "hpack"]):
    from tests.fuzz.http2_properties import check_http2
    from tests.fuzz.wire import InMemoryProxy

from hpack import Encoder
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from tests.fuzz.http2_grammar import GOOD_PSEUDO, PREFACE


def seeds() -> list[bytes]:
    """A few connections as they should be."""
    encoder = Encoder()
    settings = SettingsFrame(0, {}).serialize()
    get = HeadersFrame(1, encoder.encode(GOOD_PSEUDO), flags=["END_HEADERS", "END_STREAM"]).serialize()
    post = HeadersFrame(3, encoder.encode(GOOD_PSEUDO), flags=["END_HEADERS"]).serialize()
    body = DataFrame(3, b"abc", flags=["END_STREAM"]).serialize()
    reset, ping = RstStreamFrame(3, 8).serialize(), PingFrame(0, b"12345678").serialize()
    return [settings, settings + get, settings + get + post + body, settings + get + post + reset + ping]


if __name__ == "__main__":
    proxy = InMemoryProxy()
    fuzz("atheris_http2", seeds(), lambda data: check_http2(proxy, PREFACE + data))
