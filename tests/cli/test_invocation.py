"""The command line that hints show works as it stands, wherever the program is and the user stands."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from minimesh.cli.invocation import invocation


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a virtual environment like `make up` makes; the user stands in it, PATH leads nowhere."""
    program = tmp_path / ".venv" / "bin" / "minimesh"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.defpath)
    return tmp_path


def started_as(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(sys, "argv", [program, "up", "configs/gs"])


def test_a_program_off_the_path_is_named_by_its_path_from_here(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_as(monkeypatch, ".venv/bin/minimesh")
    assert invocation("status") == ".venv/bin/minimesh status"


def test_from_another_folder_the_whole_path_is_named(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started_as(monkeypatch, "../.venv/bin/minimesh")
    (checkout / "configs").mkdir()
    monkeypatch.chdir(checkout / "configs")
    assert invocation("down") == f"{checkout}/.venv/bin/minimesh down"


def test_a_program_on_the_path_is_named_by_its_name(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{checkout}/.venv/bin")
    started_as(monkeypatch, f"{checkout}/.venv/bin/minimesh")
    assert invocation("down") == "minimesh down"


def test_another_program_of_that_name_on_the_path_is_not_meant(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkout / "other" / "minimesh"
    other.parent.mkdir()
    other.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    started_as(monkeypatch, ".venv/bin/minimesh")
    assert invocation("down") == ".venv/bin/minimesh down"


def test_a_module_run_by_python_is_named_as_such(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(checkout / ".venv" / "bin" / "python"))
    started_as(monkeypatch, "/elsewhere/minimesh/__main__.py")
    assert invocation("status") == ".venv/bin/python -m minimesh status"
