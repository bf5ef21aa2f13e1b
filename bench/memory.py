"""What one stand-alone proxy weighs: at rest, and for each idle connection (`python -m bench.memory`).

Resident set size from /proc/PID/smaps_rollup, so on Linux only. Measured twice: with connections that never
asked for anything, and with such that had one answer.
"""

import asyncio
import contextlib
import http.client
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONNECTIONS = 5000
_START_LIMIT_S = 10
_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_BOOTSTRAP = """
static_resources:
  listeners:
  - name: front
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {type}
          stat_prefix: front
          route_config:
            name: front
            virtual_hosts:
            - name: everyone
              domains: ["*"]
              routes:
              - match: {{ prefix: / }}
                direct_response: {{ status: 200, body: {{ inline_string: hi }} }}
          http_filters: [{{ name: envoy.filters.http.router }}]
"""
_REQUEST = b"GET / HTTP/1.1\r\nhost: example.com\r\nuser-agent: bench/1.0\r\naccept: */*\r\n\r\n"


def main() -> int:
    """Print start-up time, weight at rest and weight of idle connections."""
    limit = CONNECTIONS + 100
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (limit, max(limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    )
    for label, request in (("silent", b""), ("answered once", _REQUEST)):
        with _proxy() as (pid, port, started_s):
            at_rest_kb = _resident_kb(pid)
            idle_kb = asyncio.run(_with_connections(pid, port, request))
        print(
            f"first answer after {started_s:.2f} s; at rest {at_rest_kb / 1024:.1f} MB; "
            f"{CONNECTIONS} connections, {label}: {idle_kb / 1024:.1f} MB, "
            f"{(idle_kb - at_rest_kb) / CONNECTIONS:.2f} KB each"
        )
    return 0


@contextlib.contextmanager
def _proxy() -> Iterator[tuple[int, int, float]]:
    """A proxy that serves: its process id, its port, and how long the first answer took."""
    port = _free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(_BOOTSTRAP.format(port=port, type=_TYPE))
        file.flush()
        began = time.monotonic()
        command = [sys.executable, "-m", "minimesh", "proxy", "-c", file.name, "-l", "error"]
        with subprocess.Popen(command, cwd=REPOSITORY) as proxy:
            try:
                _wait_for_answer(port)
                yield proxy.pid, port, time.monotonic() - began
            finally:
                proxy.kill()


def _wait_for_answer(port: int) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.005)
        finally:
            connection.close()
    raise RuntimeError("the proxy does not serve")


async def _with_connections(pid: int, port: int, request: bytes) -> int:
    """Resident size with all connections, in KB."""
    connections = []
    for _ in range(CONNECTIONS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        if request:
            writer.write(request)
            await reader.readuntil(b"hi")
        connections.append(writer)
    await asyncio.sleep(0.5)  # the proxy may have some still to accept
    weight_kb = _resident_kb(pid)
    for writer in connections:
        writer.close()
    return weight_kb


def _resident_kb(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
