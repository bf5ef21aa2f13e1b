"""HTTP/2 clients before HTTP/1 upstreams: no bytes make one request two, or another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.grammar import CUTS, mutated
from tests.fuzz.http2_grammar import PREFACE, Connection, connections
from tests.fuzz.http2_properties import check_http2
from tests.fuzz.profile import examples
from tests.fuzz.wire import InMemoryProxy


@examples(250)
@given(connection=connections(), cuts=CUTS)
def test_requests_are_what_was_meant(proxy: InMemoryProxy, connection: Connection, cuts: list[int]) -> None:
    meant = connection.requests if connection.intact else None
    check_http2(proxy, connection.data, cuts, meant)


@examples(100)
@given(noise=mutated(st.binary(max_size=300)), cuts=CUTS)
def test_noise(proxy: InMemoryProxy, noise: bytes, cuts: list[int]) -> None:
    check_http2(proxy, PREFACE + noise, cuts)
