"""`kubectl logs`: the lines of a container as text, to the end or as they come."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.container_logs import ContainerLogs
from minimesh.kubernetes.objects import Object

INTERVAL_S = 0.05
"""How often a followed log is looked at: files tell nobody that they grew."""


async def serve_log(request: web.Request, pod: Object, logs: ContainerLogs) -> web.StreamResponse:
    """The log of the container that the request names. ApiError (400) when it must name one."""
    metadata = pod["metadata"]
    container = chosen_container(pod, request.query.get("container", ""))
    where = (metadata["namespace"], metadata["name"], container)
    tail = request.query.get("tailLines", "")
    count = int(tail) if tail.isdigit() else None
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    follows = request.query.get("follow") in ("true", "1")
    reader = logs.follow(*where) if follows else None
    with contextlib.suppress(ConnectionResetError):
        for line in logs.last_lines(*where, count):
            await response.write(f"{line}\n".encode())
        while reader is not None:
            lines = reader.lines()
            if lines:
                await response.write("".join(f"{each}\n" for each in lines).encode())
            elif request.transport is None or request.transport.is_closing():
                break
            await asyncio.sleep(INTERVAL_S)
    return response


def chosen_container(pod: Object, asked: str) -> str:
    """The container that a request means: the one it names, or the only one. ApiError (400) else."""
    names = [each["name"] for each in pod.get("status", {}).get("containerStatuses", ())]
    names = names or [each["name"] for each in pod.get("spec", {}).get("containers", ())]
    name = pod["metadata"]["name"]
    if not asked:
        if len(names) == 1:
            return str(names[0])
        message = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
        raise bad_request(message)
    if asked not in names:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked
