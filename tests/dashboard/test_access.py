"""Who may use the page."""

from __future__ import annotations

import pytest

from minimesh.dashboard.access import refusal

HERE = "127.0.0.1:20001"


@pytest.mark.parametrize(
    ("method", "host", "origin", "header", "refused"),
    [
        ("GET", HERE, None, None, False),
        ("GET", "localhost:20001", None, None, False),
        ("GET", "evil.example", None, None, True),
        ("GET", HERE, f"http://{HERE}", None, False),
        ("GET", HERE, "http://evil.example", None, True),
        ("POST", HERE, f"http://{HERE}", "page", False),
        ("POST", HERE, f"http://{HERE}", None, True),
        ("PUT", HERE, None, None, True),
        ("POST", HERE, "null", "page", True),
    ],
)
def test_requests(method: str, host: str, origin: str | None, header: str | None, refused: bool) -> None:
    assert (refusal(method, host, origin, header) is not None) is refused
