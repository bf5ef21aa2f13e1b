"""Requests: whatever a client sends, what goes on is just what llhttp reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.grammar import CUTS, good_requests, request_bytes, similar_requests
from tests.fuzz.profile import examples
from tests.fuzz.properties import check_after, check_repeated, check_requests
from tests.fuzz.wire import InMemoryProxy

ORACLE = Path(__file__).parents[3] / "shared" / "oracles" / "http1" / "cases.json"


@examples(400)
@given(data=request_bytes(), cuts=CUTS)
def test_requests_are_what_llhttp_reads(proxy: InMemoryProxy, data: bytes, cuts: list[int]) -> None:
    check_requests(proxy, data, cuts)


@examples(150)
@given(before=good_requests(), data=st.one_of(good_requests(), request_bytes()), cuts=CUTS)
def test_what_came_before_changes_nothing(
    proxy: InMemoryProxy, before: bytes, data: bytes, cuts: list[int]
) -> None:
    check_after(proxy, before, data, cuts)


@examples(200)
@given(requests=similar_requests(), together=st.booleans())
def test_repeating_changes_nothing(proxy: InMemoryProxy, requests: list[bytes], together: bool) -> None:
    check_repeated(proxy, requests, together)


@pytest.mark.skipif(not ORACLE.exists(), reason="the oracles are not beside this checkout")
def test_published_cases_cut_at_every_place(proxy: InMemoryProxy) -> None:
    cases = [case["raw"].encode("latin-1") for case in json.loads(ORACLE.read_text())["cases"]]
    for data in cases:
        if len(data) < 20_000:
            check_requests(proxy, data, range(0, len(data), 1 + len(data) // 300))
