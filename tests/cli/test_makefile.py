"""What `make up` does where an earlier one was ended half-way."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.mesh import REPOSITORY

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

_OF_MAKE = frozenset({"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "LABS"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).touch()
    return tmp_path


def would_run(project: Path) -> list[str]:
    """The words of the commands that `make up` would run."""
    command = ["make", "-n", "up", "PORT=8123"]
    # Not as part of the `make test` that may be running this.
    environment = {key: value for key, value in os.environ.items() if key not in _OF_MAKE}
    found = subprocess.run(
        command, cwd=project, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    return found.stdout.split()


def test_half_a_virtual_environment_is_made_anew(project: Path) -> None:
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    assert "--clear" in would_run(project)


def test_what_is_installed_is_used_as_it_is(project: Path) -> None:
    (project / ".venv").mkdir()
    for name in ("made", "installed"):
        (project / ".venv" / name).touch()
    started = [".venv/bin/minimesh", "up", "--ingress-port", "8123", "configs/gs", "configs/httpbin"]
    assert would_run(project) == started
