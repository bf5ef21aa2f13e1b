"""The memo says what the library would have said, whatever comes in between."""

from __future__ import annotations

import random

import pytest
from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from minimesh.data_plane.http.http2.hpack_memo import MemoDecoder, MemoEncoder

LISTS = [
    [(b":method", b"GET"), (b":path", b"/"), (b"user-agent", b"a")],
    [(b":method", b"GET"), (b":path", b"/"), (b"user-agent", b"b")],
    [(b":method", b"GET"), (b":path", b"/other"), (b"x-a", b"x" * 900)],
    [(b"x-b", b"y" * 900), (b"x-c", b"z" * 900)],
    [(b":status", b"200")],
    [],
]


@pytest.mark.parametrize("seed", range(20))
def test_any_sequence_of_lists_means_the_same(seed: int) -> None:
    # Two of the lists and a small table: entries come and go, and lists repeat.
    source = random.Random(seed)
    memo_encoder, encoder = MemoEncoder(), Encoder()
    memo_decoder, decoder = MemoDecoder(65536), Decoder()
    for _ in range(200):
        headers = list(source.choice(LISTS))
        if source.random() < 0.05:
            size = source.choice([0, 100, 1000, 4096])
            memo_encoder.header_table_size = encoder.header_table_size = size
        block = memo_encoder.encode(headers)
        assert block == encoder.encode(headers)
        assert list(memo_decoder.decode(block, raw=True)) == list(decoder.decode(block, raw=True)) == headers


def test_a_block_that_refers_to_nothing_is_an_error_each_time() -> None:
    decoder = MemoDecoder(65536)
    for _ in range(2):
        with pytest.raises(HPACKError):
            decoder.decode(b"\xbe", raw=True)


def test_a_repeated_list_is_not_read_again() -> None:
    encoder, decoder = Encoder(), MemoDecoder(65536)
    decoder.decode(encoder.encode(LISTS[0]), raw=True)
    block = encoder.encode(LISTS[0])
    assert decoder.decode(block, raw=True) is decoder.decode(block, raw=True)
