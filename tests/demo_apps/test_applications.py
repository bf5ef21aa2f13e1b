"""The demo applications, asked over real sockets through the server that they run on."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demo_apps import gsservice, helloworld


class Application:
    """A demo application as a process of its own, asked over one kept connection."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"demo_apps.{module}", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        self.port = int(line.rpartition(":")[2])
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body, named)
        response = self._connection.getresponse()
        return response, response.read()

    def stop(self) -> int:
        self._connection.close()
        self.process.terminate()
        code = self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]


@pytest.fixture(scope="module")
def ask_httpbin() -> Iterator[Ask]:
    application = Application("httpbin", "--port", "0")
    yield application.ask
    application.stop()


@pytest.mark.parametrize(
    ("server", "line"),
    [
        (
            "gunicorn",
            r"127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\] "
            r'"GET /status/418\?a=b HTTP/1\.1" 418 \d+ "-" "curl/8 x"',
        ),
        (
            "go-httpbin",
            r'time=\S+Z level=INFO msg="418 GET /status/418\?a=b \d+\.\dms" status=418 method=GET '
            r'uri="/status/418\?a=b" size_bytes=\d+ duration_ms=\S+ '
            r'user_agent="curl/8 x" client_ip=127\.0\.0\.1',
        ),
    ],
)
def test_httpbin_logs_as_the_published_images_servers_do(server: str, line: str) -> None:
    application = Application("httpbin", "--port", "0", "--access-log", server)
    try:
        application.ask("GET", "/status/418?a=b", User_Agent="curl/8 x")
        assert application.process.stdout is not None
        assert re.fullmatch(line, application.process.stdout.readline().rstrip("\n"))
    finally:
        application.stop()


@pytest.mark.parametrize(("version", "shown", "other"), [("v1", "V1", "V2"), ("v2", "V2", "V1")])
def test_gsservice_answers_the_time_and_its_version(version: str, shown: str, other: str) -> None:
    answer = gsservice.create_application(version).test_client().get("/")
    assert answer.status_code == 200
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", answer.text)
    assert shown in answer.text
    assert other not in answer.text


def test_helloworld_says_version_and_instance() -> None:
    client = helloworld.create_application("v1", "helloworld-v1-abc").test_client()
    assert client.get("/hello").text == "Hello version: v1, instance: helloworld-v1-abc\n"
    assert client.get("/health").status_code == 200


def test_ip_is_what_the_proxy_in_front_says(ask_httpbin: Ask) -> None:
    assert json.loads(ask_httpbin("GET", "/ip")[1]) == {"origin": "127.0.0.1"}
    _, body = ask_httpbin("GET", "/ip", X_Forwarded_For="10.0.0.7,10.0.0.8")
    assert json.loads(body) == {"origin": "10.0.0.7,10.0.0.8"}


def test_httpbins_own_headers_are_there(ask_httpbin: Ask) -> None:
    response, body = ask_httpbin("GET", "/user-agent", User_Agent="test/1")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert response.headers["Access-Control-Allow-Credentials"] == "true"
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Server"] == "gunicorn/19.9.0"
    assert body == b'{\n  "user-agent": "test/1"\n}\n'


def test_many_requests_share_one_connection(ask_httpbin: Ask) -> None:
    for _ in range(3):
        response, _ = ask_httpbin("GET", "/status/200")
        assert response.status == 200
        assert response.headers.get("Connection") != "close"


def test_a_body_without_length_reaches_httpbin(ask_httpbin: Ask) -> None:
    response, body = ask_httpbin("POST", "/post", iter([b"first ", b"second"]), Content_Type="text/plain")
    assert response.status == 200
    assert json.loads(body)["data"] == "first second"


@pytest.mark.parametrize("code", [200, 301, 404, 418, 503])
def test_status_codes(ask_httpbin: Ask, code: int) -> None:
    assert ask_httpbin("GET", f"/status/{code}")[0].status == code


def test_a_streamed_answer_is_chunked(ask_httpbin: Ask) -> None:
    response, body = ask_httpbin("GET", "/stream-bytes/1000?chunk_size=100")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert len(body) == 1000


def test_an_address_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        result = subprocess.run(
            [sys.executable, "-m", "demo_apps.gsservice", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == f"cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_sigterm_is_an_orderly_end() -> None:
    application = Application("helloworld", "--port", "0", "--version", "v2")
    assert application.ask("GET", "/hello")[1].startswith(b"Hello version: v2, instance: ")
    assert application.stop() == 0


def test_http_echo_says_its_text() -> None:
    application = Application("http_echo", "--port", "0", "-text=Hello World! This is version v1")
    response, body = application.ask("GET", "/v1")
    assert (response.status, body) == (200, b"Hello World! This is version v1\n")
    assert response.headers["X-App-Name"] == "http-echo"
    assert application.stop() == 0


def test_tcp_echo_sends_lines_back_behind_its_word() -> None:
    application = Application("tcp_echo", "0", "hello")
    with socket.create_connection(("127.0.0.1", application.port), timeout=20) as connection:
        connection.sendall(b"world\nagain\n")
        with connection.makefile("rb") as lines:
            assert [lines.readline(), lines.readline()] == [b"hello world\n", b"hello again\n"]
    assert application.stop() == 0


def test_the_sleep_pod_waits_for_sigterm() -> None:
    process = subprocess.Popen([sys.executable, "-m", "demo_apps.sleep", "3650d"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.terminate()
    assert process.wait(timeout=10) in (0, -signal.SIGTERM)
