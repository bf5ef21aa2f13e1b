"""What stands behind the proxies of scenarios: backends that tell what reached them, each at its address.

A backend answers 200 with JSON: its name, and the request as it came. A request may ask for something else:
`x-answer: 503` (a status), `x-answer: 503,503,200` (one after the other, counted for each call), `reset`
(the connection is cut), `x-wait: 0.5` (seconds before the answer), `x-give: name=value` (a response header).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

_HEAD_LIMIT_S = 30.0


def free_range() -> str:
    """The first three numbers of loopback addresses that no other run of these tests uses."""
    while True:
        prefix = f"127.{random.randrange(20, 120)}.{random.randrange(1, 250)}"
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((f"{prefix}.1", 15999))
            return prefix


@dataclass
class Backends:
    """All backends; `seen` collects the requests that reached any of them since `begin`."""

    seen: list[dict[str, object]] = field(default_factory=list)
    _asked: dict[str, int] = field(default_factory=dict)
    _servers: list[asyncio.Server] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def begin(self) -> None:
        """The next call starts."""
        self.seen.clear()
        self._asked.clear()

    async def start(self, name: str, host: str, port: int, *, http: bool = True) -> None:
        """A backend; without `http` it repeats what it gets, line by line, behind its name."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._writers.add(writer)
            try:
                await (self._http(name, reader, writer) if http else _echo(name, reader, writer))
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                self._writers.discard(writer)
                writer.close()

        self._servers.append(await asyncio.start_server(serve, host, port))

    async def stop(self) -> None:
        for server in self._servers:
            server.close()
        for writer in tuple(self._writers):
            writer.close()

    async def _http(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, *lines = head.split("\r\n")[:-2]
            headers: dict[str, str] = {}
            for key, _, value in (each.partition(": ") for each in lines):
                headers[key] = f"{headers[key]},{value}" if key in headers else value
            body = await body_of(reader, headers)
            request = {"backend": name, "line": line, "headers": headers, "body": body.decode("latin-1")}
            self.seen.append(request)
            answer = self._answer(name, headers)
            await asyncio.sleep(float(headers.get("x-wait", "0")))
            if answer == "reset":
                writer.transport.abort()
                return
            given = headers.get("x-give", "").partition("=")
            more = f"{given[0]}: {given[2]}\r\n" if given[1] else ""
            text = b"" if line.startswith("HEAD ") else json.dumps(request).encode()
            length = len(json.dumps(request))
            writer.write(
                f"HTTP/1.1 {answer} OK\r\ncontent-type: application/json\r\n{more}"
                f"content-length: {length}\r\n\r\n".encode()
                + text
            )
            await writer.drain()

    def _answer(self, name: str, headers: Mapping[str, str]) -> str:
        answers = headers.get("x-answer", "200").split(",")
        count = self._asked.get(headers["x-answer"], 0) if "x-answer" in headers else 0
        self._asked[headers.get("x-answer", "")] = count + 1
        return answers[min(count, len(answers) - 1)]


async def _echo(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(f"{name} ".encode() + line)
        await writer.drain()


async def body_of(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """The body that follows a head with these headers (lower-case names)."""
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))
