"""Makes the calls of scenarios, over plain sockets, so that every byte of a head is seen as it came."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.scenarios.scenario import Call
from tests.scenarios.world import body_of

LIMIT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back: 0 for a connection that was refused (nobody listens: no proxy logs it) or cut."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    refused: bool = False

    @property
    def request(self) -> dict[str, Any]:
        """The request as its backend saw it; empty when no backend answered."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) and "backend" in found else {}

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


async def ask(call: Call, host: str, port: int) -> Answer:
    """Make the call on a connection of its own."""
    async with asyncio.timeout(LIMIT_S):
        try:
            reader, writer = await asyncio.open_connection(host, port)
        except ConnectionRefusedError:
            return Answer(0, refused=True)
        except ConnectionResetError:
            # Accepted and reset before the client's loop had seen that it was connected.
            return Answer(0)
        try:
            if call.is_tcp:
                return await _talk(call, reader, writer)
            return await _request(call, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return Answer(0)
        finally:
            writer.close()


async def _talk(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    writer.write(call.send.encode() + b"\n")
    line = await reader.readline()
    return Answer(200 if line else 0, body=line.decode("latin-1"))


async def _request(call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
    # Inside the mesh the sidecar is called as an HTTP proxy, by absolute form.
    target = f"http://{call.authority}{call.target}" if call.at == "mesh" else call.target
    headers = {"host": call.authority, "user-agent": "scenario", **call.headers}
    if call.body:
        headers["content-length"] = str(len(call.body))
    lines = [f"{call.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n" + call.body).encode("latin-1"))
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.split("\r\n")[:-2]
    found = tuple((name.lower(), value) for name, _, value in (line.partition(": ") for line in rest))
    status = int(first.split(" ")[1])
    empty = call.method == "HEAD" or status in (204, 304)
    body = b"" if empty else await body_of(reader, dict(found))
    return Answer(status, found, body.decode("latin-1"))
