"""`minimesh explain` over files, as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from minimesh.cli.main import main

HTTPBIN = str(Path(__file__).parents[2] / "configs" / "httpbin")


def test_a_request_that_succeeds() -> None:
    result = CliRunner().invoke(main, ["explain", "GET", "localhost:8080/one", "--files", HTTPBIN])
    assert result.exit_code == 0, result.output
    assert 'path "/one" becomes "/ip"' in result.output


def test_a_request_that_fails_ends_with_1() -> None:
    result = CliRunner().invoke(main, ["explain", "GET", "localhost:8080/", "--files", HTTPBIN, "-o", "json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["outcome"]["status"] == 404


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert "which request?" in CliRunner().invoke(main, ["explain"]).output
    nowhere = CliRunner().invoke(main, ["explain", "GET", "a/", "--files", str(tmp_path / "no")])
    assert nowhere.exit_code != 0
    assert (
        "files have no past"
        in CliRunner().invoke(main, ["explain", "--last", "404", "--files", HTTPBIN]).output
    )
