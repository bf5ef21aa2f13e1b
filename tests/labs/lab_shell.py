"""A running mesh and one `minimesh shell` in it: published command lines go in as they stand, and run.

The shell is one bash process for its whole life, so that what one line assigns the next can use.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.end_to_end.mesh import REPOSITORY, free_port, minimesh, wait_until

LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Ran:
    """How one command line ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def cells(self) -> list[list[str]]:
        """The output as a table, row by row."""
        return [line.split() for line in self.lines]


class LabShell:
    """A mesh started empty by `minimesh up`, and a shell over it."""

    def __init__(self, folder: Path, here: Path = REPOSITORY) -> None:
        """`folder` is for the mesh's state; `here` is the folder in which lines are typed."""
        self.folder = folder
        self.state = folder / "state"
        self.port = free_port()
        started = minimesh(
            *("up", "--detach", "--ingress-port", str(self.port)), state=self.state, timeout_s=LIMIT_S
        )
        assert started.returncode == 0, started.stderr + started.stdout
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minimesh", "shell"],
            cwd=here,
            env={
                **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
                "MINIMESH_STATE": str(self.state),
                "PYTHONPATH": str(REPOSITORY),
                "SHELL": "/bin/bash",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
        )
        self._count = 0

    def run(self, line: str, limit_s: float = LIMIT_S) -> Ran:
        """Type one line, or several, and wait until it has ended."""
        self._count += 1
        out, err = self.folder / f"{self._count}.out", self.folder / f"{self._count}.err"
        marker = f"ended-{self._count}-"
        assert self._process.stdin is not None
        typed = f"{{ {line}\n}} </dev/null >'{out}' 2>'{err}'; echo {marker}$?\n"
        self._process.stdin.write(typed.encode())
        code = self._code_after(marker, limit_s, line)
        return Ran(code, out.read_text(errors="replace"), err.read_text(errors="replace"))

    def __call__(self, line: str, limit_s: float = LIMIT_S) -> Ran:
        """The same for a line that has to succeed."""
        ran = self.run(line, limit_s)
        assert ran.code == 0, f"{line}\n{ran.out}{ran.err}"
        return ran

    def stop(self) -> None:
        """Leave the shell, and end the mesh."""
        self._process.kill()
        self._process.communicate()
        minimesh("down", "--purge", state=self.state, timeout_s=LIMIT_S)

    def until(self, line: str, shown: str, limit_s: float = 60.0) -> Ran:
        """Type a line until it shows a text: what was applied takes a moment to reach the proxies."""
        last: list[Ran] = []

        def seen() -> bool:
            last[:] = [self.run(line)]
            return shown in last[0].out

        wait_until(seen, f"{line!r} to show {shown!r}, but: {last}", limit_s)
        return last[0]

    def pods(self) -> list[dict[str, Any]]:
        """The pods as the mesh's own state has them."""
        document: dict[str, Any] = json.loads(minimesh("status", "-o", "json", state=self.state).stdout)
        return list(document["pods"])

    def _code_after(self, marker: str, limit_s: float, line: str) -> int:
        assert self._process.stdout is not None
        deadline = time.monotonic() + limit_s
        seen = b""
        while True:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self._process.stdout], [], [], max(left, 0))
            assert readable, f"not within {limit_s:.0f} s: {line}"
            piece = os.read(self._process.stdout.fileno(), 65536)
            assert piece, f"the shell has ended: {seen.decode(errors='replace')}"
            seen += piece
            for said in seen.decode(errors="replace").split("\n")[:-1]:
                if said.startswith(marker):
                    return int(said.removeprefix(marker))
