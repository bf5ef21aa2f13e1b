"""Inputs that once broke a property or came close: `cases/*.request`, `cases/*.response`, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.properties import check_after, check_requests, check_response
from tests.fuzz.wire import InMemoryProxy

CASES = Path(__file__).parent / "cases"
GOOD = b"GET /before HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("case", sorted(CASES.glob("*.request")), ids=lambda path: path.stem)
def test_request(proxy: InMemoryProxy, case: Path) -> None:
    data = case.read_bytes()
    for at in range(1, len(data)):
        check_requests(proxy, data, [at])
    check_requests(proxy, data, range(len(data)))
    check_after(proxy, GOOD, data)


@pytest.mark.parametrize("closes", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("case", sorted(CASES.glob("*.response")), ids=lambda path: path.stem)
def test_response(proxy: InMemoryProxy, case: Path, method: str, closes: bool) -> None:
    data = case.read_bytes()
    for at in range(1, len(data)):
        check_response(proxy, data, method, [at], closes)
    check_response(proxy, data, method, range(len(data)), closes)
