"""The stand-in for fortio, as Istio's texts call it: how many of its calls succeed is what they read."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from minimesh.cli.pod_insides import PodInsides
from minimesh.config.kubernetes.pod import Container
from minimesh.kubernetes.pods.container_commands import CommandNotFoundError
from minimesh.platform.images import ImageTable


class Server(http.server.ThreadingHTTPServer):
    """Refuses each third request; keeps connections, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.targets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.clients: set[Any] = set()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        self.server.headers.append(dict(self.headers))
        self.server.clients.add(self.client_address)
        is_refused = len(self.server.targets) % 3 == 0
        self.send_response(503 if is_refused else 200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fortio(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return subprocess.run(
        [sys.executable, "-m", "demo_apps.fortio", *arguments],
        env={**plain, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_load_tells_how_many_calls_had_which_status() -> None:
    with serving() as server:
        url = f"http://127.0.0.1:{server.server_port}/get?a=b"
        done = fortio("load", "-c", "3", "-qps", "0", "-n", "30", "-loglevel", "Warning", url)
        assert done.returncode == 0, done.stderr
        assert "Starting at max qps with 3 thread(s) for exactly 30 calls (10 per thread + 0)" in done.stdout
        assert "Code 200 : 20 (66.7 %)\nCode 503 : 10 (33.3 %)\n" in done.stdout
        assert "Sockets used: 3 (for perfect keepalive, would be 3)" in done.stdout
        assert "All done 30 calls (plus 0 warmup)" in done.stdout
        assert done.stderr.count('"msg":"Non ok http code","code":503') == 10
        assert server.targets == ["/get?a=b"] * 30
        assert len(server.clients) == 3


def test_calls_that_get_no_answer_are_minus_one() -> None:
    with serving() as server:
        port = server.server_port
    done = fortio("load", "-c", "2", "-qps", "0", "-n", "3", "-quiet", f"http://127.0.0.1:{port}/")
    assert "Code  -1 : 3 (100.0 %)" in done.stdout
    assert done.stderr == ""


def test_a_load_may_last_for_a_time_at_a_rate() -> None:
    with serving() as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        done = fortio("load", "-c", "1", "-qps", "20", "-t", "300ms", "-quiet", url)
        assert "Starting at 20 qps with 1 thread(s) for 300ms" in done.stdout
        assert 1 <= len(server.targets) <= 6


def test_curl_shows_head_and_body_and_goes_by_the_proxy() -> None:
    with serving() as proxy:
        address = f"http://127.0.0.1:{proxy.server_port}"
        url = "http://httpbin:8000/get"
        done = fortio("curl", "-quiet", "-H", "end-user: jason", url, http_proxy=address)
        assert done.stdout.startswith("HTTP/1.1 200 OK\n")
        assert done.stdout.endswith("\n\nhello")
        assert done.returncode == 0
        assert proxy.targets == [url]
        assert proxy.headers[0]["Host"] == "httpbin:8000"
        assert proxy.headers[0]["end-user"] == "jason"


@pytest.mark.parametrize(
    "wrong", [("load", "-c", "0", "http://a/"), ("curl", "https://a/"), ("load", "-t", "5", "http://a/")]
)
def test_what_it_cannot_do_is_refused(wrong: tuple[str, ...]) -> None:
    done = fortio(*wrong)
    assert done.returncode == 2
    assert "error: argument" in done.stderr


def test_the_image_is_its_server() -> None:
    program = ImageTable.load().program(Container(name="f", image="docker.io/fortio/fortio:latest_release"))
    assert (program.entry, program.port) == ("fortio", 8080)


def insides() -> PodInsides:
    """A pod on a machine where no program is installed."""
    pod = SimpleNamespace(key=("default", "fortio-1"), environment={"fortio": {"PATH": "/nowhere", "A": "b"}})
    return PodInsides(lambda: SimpleNamespace(pods=[pod]))  # type: ignore[arg-type, return-value]


def test_exec_finds_it_by_the_images_path_where_it_is_not_installed() -> None:
    asked = ["/usr/bin/fortio", "load", "http://httpbin:8000/get"]
    command = insides().command("default", "fortio-1", "fortio", asked)
    assert command.arguments == (sys.executable, "-m", "demo_apps.fortio", *asked[1:])
    assert command.environment == {"PATH": "/nowhere", "A": "b"}


def test_exec_of_anything_else_says_that_it_is_missing() -> None:
    with pytest.raises(CommandNotFoundError, match="'wrk' is not installed"):
        insides().command("default", "fortio-1", "fortio", ["wrk"])
