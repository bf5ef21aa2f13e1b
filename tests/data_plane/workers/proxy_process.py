"""A proxy with workers as a real process, and what a test asks of it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.data_plane.sockets import body_of, exchange

_COMMAND = "import sys; from minimesh.data_plane.command import main; sys.exit(main(sys.argv[1:]))"
_LIMIT_S = 20.0


class ProxyProcess:
    """One parent and its workers, by the admin port."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, admin: int) -> None:
        self.process = process
        self.port = port
        self.admin = admin
        self.errors = ""

    async def get(self, path: str) -> str:
        return body_of(await exchange(self.admin, path=path)).decode()

    async def post(self, path: str) -> str:
        head = f"POST {path} HTTP/1.1\r\nhost: t\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        return body_of(await exchange(self.admin, head.encode())).decode()

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match."""
        found = json.loads(await self.get(f"/stats?format=json&filter={pattern}"))["stats"]
        return {each["name"]: each["value"] for each in found if "name" in each}

    async def requests(self, number: int, path: str = "/") -> set[bytes]:
        """That many requests, each on a connection of its own; the bodies that came back."""
        return {body_of(await exchange(self.port, path=path)) for _ in range(number)}

    def workers(self) -> list[int]:
        """Process ids of the workers, which are the children of the fork server."""
        return _children(self.fork_server())

    def fork_server(self) -> int:
        """Its process id: it is the parent's only child."""
        (fork_server,) = _children(self.process.pid)
        return fork_server

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Signal the parent; its exit status. `errors` has what it said."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(_LIMIT_S):
            _, said = await self.process.communicate()
        self.errors = said.decode()
        assert self.process.returncode is not None
        return self.process.returncode


@asynccontextmanager
async def proxy_process(
    *arguments: str, port: int, admin: int, stdout: Any = None
) -> AsyncIterator[ProxyProcess]:
    """`minimesh proxy` with these arguments, once its admin API answers; killed at the end if still there."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COMMAND, *arguments, "--admin", f"127.0.0.1:{admin}",
        stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    proxy = ProxyProcess(process, port, admin)
    try:
        await until(lambda: _answers(admin, process))
        yield proxy
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask another process until it is so: there is no event to wait for."""
    async with asyncio.timeout(_LIMIT_S):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _answers(admin: int, process: asyncio.subprocess.Process) -> bool:
    assert process.returncode is None, "the proxy has ended"
    try:
        return bool(await exchange(admin, path="/ready"))
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    """Whether the process has not ended; one that waits to be reaped has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
