"""The proxy in memory, one for a module: it keeps nothing from one conversation to the next but its memos."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.wire import InMemoryProxy


@pytest.fixture(scope="module")
def proxy() -> Iterator[InMemoryProxy]:
    made = InMemoryProxy()
    yield made
    made.close()
