"""342 raw requests with verdicts: nothing that is to be rejected may reach an upstream, whole or changed.

The oracle's verdicts come from RFC 9110/9112 readings of several servers' own test suites; `either` leaves a
choice. What does reach the upstream must be one plain request, framed beyond doubt.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.data_plane.http.lab import Lab, lab, until

ORACLE = Path(__file__).parents[4] / "shared" / "oracles" / "http1" / "cases.json"
ROUTES = """
name: all
virtual_hosts:
- {name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: up, timeout: 3s}}]}
"""
LANES = 12
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUIET_S = 0.15
"""No byte for so long after the last: the proxy waits for more, as it should with an unfinished request."""


class Recorder:
    """An upstream that reads strictly and remembers what came complete, and what was wrong with it."""

    def __init__(self) -> None:
        self.complete = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
                self.heads.append(head)
                await self._read_body(reader, head.lower())
                self.complete += 1
                body = b"" if head.startswith("HEAD ") else b"ok"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def _read_body(self, reader: asyncio.StreamReader, head: str) -> None:
        length = re.search(r"\r\ncontent-length: *(\d+)", head)
        if length:
            await reader.readexactly(int(length[1]))
        elif "\r\ntransfer-encoding:" in head:
            while size := int((await reader.readuntil(b"\r\n")).strip(), 16):
                await reader.readexactly(size + 2)
            assert await reader.readexactly(2) == b"\r\n"


def faults_of(head: str) -> list[str]:
    """What no upstream should ever have to see."""
    first, *lines = head.split("\r\n")
    faults = [] if re.fullmatch(rf"{TOKEN} [^\s\x00-\x20\x7f]+ HTTP/1\.1", first) else ["request line"]
    fields = [re.fullmatch(rf"({TOKEN}):[ \t]*([^\x00\r\n]*)", line) for line in lines]
    if not all(fields):
        return [*faults, "malformed header"]
    names = [(field[1].lower(), field[2].strip()) for field in fields if field]
    codings = [value for name, value in names if name == "transfer-encoding"]
    lengths = [value for name, value in names if name == "content-length"]
    if codings and (lengths or codings != ["chunked"]):
        faults.append("transfer-encoding")
    if len(lengths) > 1 or any(not value.isdigit() for value in lengths):
        faults.append("content-length")
    if sum(name == "host" for name, _ in names) != 1:
        faults.append("host")
    faults += [
        "lookalike_te_upstream"
        for name, _ in names
        if name != "transfer-encoding" and re.sub("[^a-z]", "", name) == "transferencoding"
    ]
    return faults


async def replay(running: Lab, recorder: Recorder, case: dict[str, Any]) -> list[str]:
    """Send one case; what is wrong with the outcome."""
    recorder.complete, recorder.heads = 0, []
    client = await running.client()
    client.send(case["raw"])
    answer = b""
    try:
        while data := await asyncio.wait_for(client.reader.read(65536), QUIET_S):
            answer += data
    except (TimeoutError, ConnectionError):
        pass
    client.abort()
    await until(lambda: not running.listener.connections)  # nothing of this case may reach into the next
    expected, complete = case["expect"], recorder.complete
    wrong = []
    if expected["verdict"] == "reject" and complete:
        wrong.append("forwarded")
    # HTTP/2's preface is answered in its own words.
    if expected["verdict"] == "reject" and answer[:5] == b"HTTP/" and not 400 <= int(answer[9:12]) <= 505:
        wrong.append(f"answered {answer[:15]!r}")
    if expected["verdict"] == "forward" and complete < expected.get("upstream_requests", 1):
        wrong.append(f"forwarded {complete}")
    if complete > expected["upstream_max"]:
        wrong.append(f"forwarded {complete}, at most {expected['upstream_max']}")
    allowed = expected.get("allow", [])
    wrong += [fault for head in recorder.heads for fault in faults_of(head) if fault not in allowed]
    return [f"{case['id']}: {fault}" for fault in wrong]


async def lane(cases: list[dict[str, Any]]) -> list[str]:
    """One proxy with an upstream of its own, so that nothing is confused between cases."""
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = {"use_remote_address": True, "normalize_path": True, "upgrade_types": frozenset({"websocket"})}
    faults: list[str] = []
    async with lab(ROUTES, hosts={"up": [port]}, delayed_close_timeout_s=0.01, **settings) as running:
        for case in cases:
            faults += await replay(running, recorder, case)
    server.close()
    return faults


@pytest.mark.skipif(not ORACLE.exists(), reason="the shared oracles are not beside this checkout")
async def test_no_case_is_forwarded_that_must_not_be() -> None:
    cases = json.loads(ORACLE.read_text())["cases"]
    lanes = await asyncio.gather(*(lane(cases[start::LANES]) for start in range(LANES)))
    assert [fault for faults in lanes for fault in faults] == []
