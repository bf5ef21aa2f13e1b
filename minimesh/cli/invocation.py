"""How this program is called from where the user stands: what hints must say to be copied and pasted."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

_NAME = "minimesh"


def invocation(arguments: str) -> str:
    """The command line that runs `minimesh ARGUMENTS` here.

    `minimesh` itself may not be on PATH: after `make up` it is `.venv/bin/minimesh`.
    """
    return f"{_program()} {arguments}"


def _program() -> str:
    started_as = Path(sys.argv[0])
    if started_as.name == _NAME:
        return _as_typed(started_as)
    return f"{_as_typed(Path(sys.executable))} -m {_NAME}"


def _as_typed(program: Path) -> str:
    """The bare name where PATH leads to this very program, else the path from here, else the whole path."""
    program = Path(os.path.abspath(program))  # not resolved: a link of a virtual environment counts as it is
    if shutil.which(program.name) == str(program):
        return program.name
    here = Path.cwd()
    return str(program.relative_to(here) if program.is_relative_to(here) else program)
