"""A real pod parent whose entry points are small enough to start in milliseconds."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minimesh.platform.pod_parent import PodParentHandle, fork_pod_parent


def say(argv: list[str]) -> int:
    """Print the arguments and what is asked for of the environment, then exit with the code given first."""
    print(" ".join(argv[1:]), os.environ.get("GREETING", "-"), len(os.environ))
    return int(argv[0])


def wait(argv: list[str]) -> int:
    """Wait for any signal."""
    signal.pause()
    return 0


def stubborn(argv: list[str]) -> int:
    """Ignore SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        time.sleep(10)


def raising(argv: list[str]) -> int:
    raise RuntimeError("broken on purpose")


def leaving(argv: list[str]) -> int:
    sys.exit("had enough")


def serve(argv: list[str]) -> int:
    """Accept connections on `--host HOST --port PORT`."""
    options = dict(zip(argv[::2], argv[1::2], strict=True))
    with socket.create_server((options["--host"], int(options["--port"]))) as listener:
        while True:
            listener.accept()[0].close()


def proxy(argv: list[str]) -> int:
    """Stands in for the proxy: answers at the admin address, shows its arguments, ends on SIGTERM."""
    print(*argv, flush=True)
    host, port = argv[argv.index("--admin") + 1].split(":")

    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    http.server.HTTPServer((host, int(port)), Ready).serve_forever()
    return 0


ENTRY_POINTS: dict[str, Callable[[list[str]], int]] = {
    "say": say,
    "wait": wait,
    "sleep": wait,
    "stubborn": stubborn,
    "raising": raising,
    "leaving": leaving,
    "httpbin": serve,
    "proxy": proxy,
}


@pytest.fixture
def pod_parent(tmp_path: Path) -> Iterator[PodParentHandle]:
    handle = fork_pod_parent(ENTRY_POINTS, preload=lambda: None, log_path=str(tmp_path / "pod-parent.log"))
    yield handle
    handle.channel.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(handle.pid, 0)
