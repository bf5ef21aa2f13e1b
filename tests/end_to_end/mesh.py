"""A whole mesh under test: `minimesh up` as a user starts it, on a free port, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
WAIT_LIMIT_S = 20.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = WAIT_LIMIT_S) -> Any:
    """Ask until the condition holds and return what it gave; fail with `what` after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.01)


def minimesh(*arguments: str, state: Path, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "minimesh", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "MINIMESH_STATE": str(state)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


class Mesh:
    """A running `minimesh up` over copies of the given labs."""

    def __init__(
        self, folder: Path, labs: Sequence[str], options: Sequence[str] = (), prefix: Sequence[str] = ()
    ) -> None:
        """`options`: more options of `up`; `prefix`: a command that runs it, say with fewer privileges."""
        self.state = folder / "state"
        self.configs = folder / "configs"
        for lab in labs:
            shutil.copytree(REPOSITORY / "configs" / lab, self.configs / lab)
        self.labs = [str(self.configs / lab) for lab in labs]
        self.port = free_port()
        self.console: list[str] = []
        self.process = subprocess.Popen(
            [
                *prefix,
                *(sys.executable, "-m", "minimesh", "up", *self.labs),
                *("--ingress-port", str(self.port), *options),
            ],
            cwd=REPOSITORY,
            env={**os.environ, "MINIMESH_STATE": str(self.state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_console, daemon=True)
        self._reader.start()

    def _read_console(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.console.append(line.rstrip("\n"))

    def stop(self) -> int:
        """Ctrl-C, and what the process exits with."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(timeout=20)
        self._reader.join(timeout=5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return minimesh(*arguments, state=self.state)

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.command("status", "-o", "json").stdout)
        return document

    def curl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The real curl, with `localhost:8080` standing for this mesh's ingress."""
        real = [argument.replace("localhost:8080", f"localhost:{self.port}") for argument in arguments]
        return subprocess.run(
            ["curl", "-sS", *real],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env=_without_proxy(),
        )

    def answers(self, *arguments: str, status: int = 200) -> bool:
        result = self.curl("-o", os.devnull, "-w", "%{http_code}", *arguments)
        return result.stdout == str(status)

    def refuses(self) -> bool:
        """True when nothing listens on the ingress port (curl's exit code 7)."""
        return self.curl("localhost:8080/").returncode == 7

    def console_line(self, pattern: str) -> str:
        """The first console line that matches; waits for it."""
        expression = re.compile(pattern)
        line: str = wait_until(
            lambda: next((line for line in list(self.console) if expression.search(line)), None),
            f"a console line like {pattern!r} in\n" + "\n".join(self.console[-40:]),
        )
        return line

    def file_declaring(self, kind: str) -> Path:
        """The configuration file of this mesh whose documents are only of this kind, or that holds one."""
        candidates = [
            path for path in sorted(self.configs.rglob("*.yaml")) if f"kind: {kind}\n" in path.read_text()
        ]
        assert candidates, f"no file declares a {kind}"
        return min(candidates, key=lambda path: path.read_text().count("\nkind: "))


def _without_proxy() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
