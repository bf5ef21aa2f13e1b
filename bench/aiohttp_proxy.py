"""The proxy that most would write: an aiohttp server in front of an aiohttp client. To measure against.

python -m bench.aiohttp_proxy PORT BACKEND_PORT LOG
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import TextIO

import aiohttp
from aiohttp import web

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class Proxy:
    """Forwards every request and writes a log line for it."""

    def __init__(self, backend: str, log: TextIO) -> None:
        self._backend = backend
        self._log = log
        self._client: aiohttp.ClientSession

    async def start(self, app: web.Application) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        self._client = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        began = time.time()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        headers["x-forwarded-for"] = str(request.remote)
        headers["x-request-id"] = str(uuid.uuid4())
        url = f"{self._backend}{request.path_qs}"
        body = request.content if request.body_exists else None
        async with self._client.request(request.method, url, headers=headers, data=body) as upstream:
            kept = {n: value for n, value in upstream.headers.items() if n.lower() not in HOP_BY_HOP}
            response = web.StreamResponse(status=upstream.status, headers=kept)
            response.content_length = upstream.content_length
            await response.prepare(request)
            async for piece in upstream.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        elapsed_ms = int((time.time() - began) * 1000)
        self._log.write(f'[{began}] "{request.method} {request.path_qs}" {response.status} {elapsed_ms}\n')
        return response


def main(port: int, backend_port: int, log_path: str) -> None:
    """Serve until killed."""
    with open(log_path, "a", buffering=65536) as log:
        proxy = Proxy(f"http://127.0.0.1:{backend_port}", log)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        app.on_startup.append(proxy.start)
        try:
            import uvloop

            loop = uvloop.new_event_loop()
        except ImportError:
            loop = asyncio.new_event_loop()
        web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None, loop=loop)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
