"""What `proxy-config log --level` asks Envoy for."""

from __future__ import annotations

import click
import pytest

from minimesh.cli.istioctl.log_levels import wanted_levels

ACTIVE = "active loggers:\n  admin: warning\n  http: info\n"


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("", []),
        ("debug", ["level=debug"]),
        ("warn", ["level=warning"]),
        ("http:debug,admin=info", ["http=debug", "admin=info"]),
        ("http:debug,level:error", ["level=error", "http=debug"]),
        ("ns::http:trace", ["http=trace"]),
    ],
)
def test_levels_become_queries_all_loggers_first(text: str, queries: list[str]) -> None:
    assert wanted_levels(text, ACTIVE) == queries


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("xxx", "unrecognized logging level: xxx"),
        ("xxx:debug", "unrecognized logger name: xxx; this proxy has admin, http"),
        ("http:yyy", "unrecognized logging level: yyy"),
    ],
)
def test_unknown_words_are_refused(text: str, error: str) -> None:
    with pytest.raises(click.ClickException, match=error):
        wanted_levels(text, ACTIVE)
