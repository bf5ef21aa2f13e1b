"""Runs the real Envoy in a pod, as Istio's agent does: starts it, and lets requests under way end.

Envoy ends at once on SIGTERM. This process takes the signal in its place, has the listeners drained over the
admin API, waits until no request is under way, and then ends Envoy. It knows nothing of configuration: the
bootstrap is an argument. Synchronous and single-threaded, so that it may be forked from the pod parent.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from minimesh.platform.pod_parent import die_with_parent

_ADMIN_LIMIT_S = 2.0
_LOOK_INTERVAL_S = 0.05
_KILL_AFTER_S = 2.0
_AWAITED = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
_UNDER_WAY = re.compile(
    rb"^(?:http\.(?!admin\.).*\.downstream_rq_active|tcp\..*\.downstream_cx_active): (\d+)", re.MULTILINE
)
#: Access-log lines are to be seen soon after the request; Envoy's own default is ten seconds.
_FLUSH_MS = 100


def main(argv: Sequence[str]) -> int:
    """Run Envoy until it ends by itself or is told to; its exit status, 0 after an orderly end."""
    parser = argparse.ArgumentParser(prog="envoy agent")
    parser.add_argument("--envoy", required=True, metavar="PATH")
    parser.add_argument("--bootstrap", required=True, metavar="JSON")
    parser.add_argument("--admin", required=True, metavar="HOST:PORT")
    parser.add_argument("--concurrency", default="1", metavar="N")
    parser.add_argument("--drain-time-s", type=float, default=5.0)
    arguments = parser.parse_args(list(argv))
    return _Agent(arguments).run()


class _Agent:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments

    def run(self) -> int:
        # Waited for, not handled: whatever comes from here on, at any moment, is seen by `sigwait`.
        signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        envoy = subprocess.Popen(_command(self._arguments), preexec_fn=_becoming_envoy(os.getpid()))  # noqa: PLW1509
        while signal.sigwait(_AWAITED) == signal.SIGCHLD:
            if (code := envoy.poll()) is not None:
                return code
        self._drain()
        envoy.terminate()
        try:
            envoy.wait(_KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            envoy.kill()
            envoy.wait()
        return 0

    def _drain(self) -> None:
        """Until nothing is under way, at most the time to drain; one that does not answer has nothing."""
        limit = time.monotonic() + self._arguments.drain_time_s
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._admin("POST", "/drain_listeners?graceful&skip_exit")
            while time.monotonic() < limit and self._is_busy():
                time.sleep(_LOOK_INTERVAL_S)

    def _is_busy(self) -> bool:
        stats = self._admin("GET", "/stats?filter=downstream_.._active$")
        return any(int(count) for count in _UNDER_WAY.findall(stats))

    def _admin(self, method: str, path: str) -> bytes:
        host, _, port = self._arguments.admin.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=_ADMIN_LIMIT_S)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().read()


def _becoming_envoy(parent_pid: int) -> Callable[[], None]:
    """What the child does before it becomes Envoy. There is one thread, so that this may be any code."""

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        die_with_parent(parent_pid)

    return prepare


def _command(arguments: argparse.Namespace) -> list[str]:
    return [
        arguments.envoy,
        *("--config-yaml", arguments.bootstrap),
        # 0 stands for a worker a processor, which is what Envoy does by itself.
        *(("--concurrency", arguments.concurrency) if arguments.concurrency != "0" else ()),
        *("--drain-time-s", str(round(arguments.drain_time_s)), "--drain-strategy", "immediate"),
        *("--file-flush-interval-msec", str(_FLUSH_MS)),
        # As Istio's agent: `misc` warns of every deprecated field that istiod still sends.
        *("--log-level", "warning", "--component-log-level", "misc:error"),
        "--disable-hot-restart",
    ]
