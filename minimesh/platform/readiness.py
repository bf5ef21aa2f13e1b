"""Whether something that was started answers yet."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

Check = Callable[[], Awaitable[bool]]

_FIRST_PAUSE_S = 0.01
_LONGEST_PAUSE_S = 0.25
_ANSWER_LIMIT_S = 1.0


def tcp_check(host: str, port: int) -> Check:
    """Ready when a connection is accepted."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                _, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    return check


def http_check(host: str, port: int, path: str) -> Check:
    """Ready when GET is answered with a status from 200 to 399, as for a Kubernetes probe."""

    async def check() -> bool:
        try:
            async with asyncio.timeout(_ANSWER_LIMIT_S):
                return await _status(host, port, path) in range(200, 400)
        except (OSError, TimeoutError, ValueError):
            return False

    return check


async def wait_until_ready(check: Check) -> None:
    """Ask until the check holds: often at first, so that a quick start is seen at once."""
    pause_s = _FIRST_PAUSE_S
    while not await check():
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _status(host: str, port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: kube-probe\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode())
        words = (await reader.readline()).split()
        return int(words[1]) if len(words) > 1 else 0
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
