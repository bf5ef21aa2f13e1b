"""`minimesh bootstrap`: what is refused, and how."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from minimesh.cli.main import main

CONFIG = Path(__file__).parents[2] / "configs" / "httpbin"
JOINING = ("deploy/sleep", "--config", str(CONFIG), "--xds", "127.0.0.1:15010")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*JOINING, "--ip", "300.1.1.1"), "--ip '300.1.1.1' is no IP address"),
        (JOINING, "it takes --xds and --ip"),
        (("deploy/sleep", "--config", str(CONFIG), "--xds", "a", "--ip", "10.0.0.7"), "'a' is not HOST:PORT"),
        ((*JOINING, "--ip", "10.0.0.7", "--tls-cert", "x"), "--tls-cert goes with --tls-key"),
        (("deploy/nobody", *JOINING[1:], "--ip", "10.0.0.7"), "there is no Deployment default/nobody"),
        (("/nowhere/dump.json",), "cannot read /nowhere/dump.json"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(arguments: tuple[str, ...], said: str) -> None:
    result = CliRunner().invoke(main, ["bootstrap", *arguments])
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"configs": "no"}', '{"configs": [1, {}]}', "{"])
def test_what_is_no_dump_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dump.json"
    file.write_text(text)
    result = CliRunner().invoke(main, ["bootstrap", str(file)])
    assert result.exit_code == 1
    assert result.output.startswith(f"minimesh: {file}: no")
    assert "It should come from `minimesh config-dump POD`." in result.output


def test_a_deployment_in_files_joins_from_anywhere() -> None:
    result = CliRunner().invoke(main, ["bootstrap", *JOINING, "--ip", "10.0.0.7"])
    assert result.exit_code == 0, result.output
    assert '"id": "sidecar~10.0.0.7~' in result.output
