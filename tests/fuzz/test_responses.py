"""Responses: whatever an upstream sends, the client reads one answer, its own, or a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.grammar import CUTS, response_bytes, similar_responses
from tests.fuzz.profile import examples
from tests.fuzz.properties import check_repeated_responses, check_response
from tests.fuzz.wire import InMemoryProxy


@examples(300)
@given(data=response_bytes(), method=st.sampled_from(["GET", "GET", "HEAD"]), cuts=CUTS, closes=st.booleans())
def test_answers_are_what_llhttp_reads(
    proxy: InMemoryProxy, data: bytes, method: str, cuts: list[int], closes: bool
) -> None:
    check_response(proxy, data, method, cuts, closes)


@examples(150)
@given(responses=similar_responses())
def test_repeating_changes_nothing(proxy: InMemoryProxy, responses: list[bytes]) -> None:
    check_repeated_responses(proxy, responses)
