"""`kubectl attach`: what a container's program writes, as it comes, until it ends.

Programs of pods here have an empty standard input, so that nothing can be typed into them. One that asks for
input (`kubectl run -i`) starts before its client can attach, and is shown from its first line on; to a
kubectl of today, which reads the log first, from where that reading ended.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.pods.channels import Channel, Channels, open_channels
from minimesh.kubernetes.pods.container_logs import ContainerLogs, LogLine, LogReader
from minimesh.kubernetes.pods.execute import ended
from minimesh.kubernetes.pods.logs import INTERVAL_S, ShownLines, chosen_container, open_log

_NO_INPUT = "minimesh: the program's input is empty here; `kubectl exec` starts one that can be typed into"


async def serve_attach(
    request: web.Request, pod: Object, logs: ContainerLogs, shown: ShownLines
) -> web.StreamResponse:
    """Show the output until it ends or the client goes. ApiError (400) when there is none to show."""
    container = chosen_container(pod, request.query.get("container", ""))
    reader = open_log(pod, container, logs)
    channels = await open_channels(request)
    has_terminal = request.query.get("tty") in ("true", "1")
    if request.query.get("stdin") in ("true", "1"):
        said = Channel.STDOUT if has_terminal else Channel.STDERR
        await channels.send(said, f"{_NO_INPUT}\r\n".encode())
    line_end = "\r\n" if has_terminal else "\n"
    if reader is not None:
        already_there = reader.lines()
        if _wants_input(pod, container):
            await _send(channels, already_there[shown.taken(pod, container) :], line_end)
        await _show(channels, reader, line_end)
    await channels.send(Channel.ERROR, json.dumps(ended(0)).encode())
    await channels.close()
    return channels.response


def _wants_input(pod: Object, container: str) -> bool:
    return any(each.get("stdin") for each in pod["spec"]["containers"] if each["name"] == container)


async def _show(channels: Channels, reader: LogReader, line_end: str) -> None:
    gone = asyncio.create_task(_until_gone(channels))
    try:
        while not gone.done():
            over = reader.is_over
            lines = reader.lines() + (reader.unfinished() if over else [])
            await _send(channels, lines, line_end)
            if over:
                return
            await asyncio.wait([gone], timeout=INTERVAL_S)
    finally:
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)


async def _until_gone(channels: Channels) -> None:
    async for _ in channels.received():
        pass


async def _send(channels: Channels, lines: list[LogLine], line_end: str) -> None:
    if lines:
        await channels.send(Channel.STDOUT, "".join(f"{text}{line_end}" for _, text in lines).encode())
