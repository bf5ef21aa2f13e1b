"""The backends that the conformance tests of the Gateway API speak to: they tell what reached them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

SET_HEADERS = "X-Echo-Set-Header"
"""A request's header with headers for the response: `name:value, name:value`."""
_LOCALHOST = "127.0.0.1"


@dataclass
class Echo:
    """One backend. `seen` counts the paths that reached it."""

    name: str
    namespace: str
    port: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await runner.setup()
        site = web.TCPSite(runner, _LOCALHOST, 0)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        """What came, after `?delay=1s` where that is asked for."""
        self.seen[request.path] += 1
        delay = parse_qs(urlsplit(request.raw_path).query).get("delay")
        if delay:
            await asyncio.sleep(float(delay[0].removesuffix("s")))
        told: dict[str, Any] = {
            "backend": self.name,
            "method": request.method,
            "path": request.raw_path,
            "host": request.host,
            "headers": {name.lower(): ",".join(request.headers.getall(name)) for name in request.headers},
        }
        asked = request.headers.get(SET_HEADERS, "")
        headers = dict(each.strip().split(":", 1) for each in asked.split(",") if each)
        return web.Response(text=json.dumps(told), headers=headers)
