"""Real requests, sent as a client outside the mesh or as an application in it would send them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDict

from minimesh.explain.question import Question, QuestionError

BODY_LIMIT_BYTES = 64 * 1024
TIMEOUT_S = 30.0
_HTTP_PROXY_PORT = "15080"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to go. `proxy`: the explicit proxy of the sidecar that it goes through."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str = ""
    proxy: str = ""


def outgoing(
    wanted: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], ingress: tuple[str, int]
) -> Outgoing:
    """The request that the page asks for (`method`, `url`, `headers`, `from`, `body`). Raises QuestionError.

    Without `from` it goes to the gateway: whatever host the URL names is told in the Host header.
    """
    question = question_of(wanted)
    headers = [*question.headers]
    body = str(wanted.get("body", ""))
    if question.source:
        proxy = _sidecar_of(question.source, pods)
        url = f"{question.scheme}://{question.authority}{question.target}"
        return Outgoing(question.method, url, tuple(headers), body, proxy)
    if question.scheme != "http":
        raise QuestionError("only http can be sent from here; use the curl command for https")
    host, port = ingress
    headers.append(("Host", question.authority))
    return Outgoing(question.method, f"http://{host}:{port}{question.target}", tuple(headers), body)


def question_of(wanted: Mapping[str, Any]) -> Question:
    """What the page asks about. Raises QuestionError."""
    try:
        headers = tuple(f"{name}: {value}" for name, value in wanted.get("headers") or ())
    except (TypeError, ValueError):
        raise QuestionError("headers must be a list of [name, value]") from None
    return Question.parse(
        str(wanted.get("method") or "GET"),
        str(wanted.get("url") or ""),
        headers,
        source=str(wanted.get("from") or ""),
    )


def _sidecar_of(source: str, pods: Sequence[Mapping[str, Any]]) -> str:
    namespace, _, name = source.removeprefix("deploy/").rpartition("/")
    for pod in pods:
        if name in (pod["name"], pod["workload"]) and pod["namespace"] == (namespace or "default"):
            port = pod["port_map"].get(_HTTP_PROXY_PORT) or pod["port_map"].get(int(_HTTP_PROXY_PORT))
            return f"http://{pod['app_address']}:{port or _HTTP_PROXY_PORT}"
    raise QuestionError(f"no pod {source!r} runs; choose another sender")


class Sender:
    """Sends requests; one pool of connections for all."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Outgoing) -> dict[str, Any]:
        """What came back, or `error`; never raises for what a network does."""
        started = time.perf_counter()
        try:
            found = await self._exchange(request)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            found = {"status": 0, "reason": "", "headers": [], "body": "", "error": _said(error)}
        found["time_ms"] = round((time.perf_counter() - started) * 1000, 2)
        return found

    async def status(self, request: Outgoing) -> int:
        """The status alone, 0 for none; the body is read and let go."""
        try:
            async with self._request(request) as response:
                async for _ in response.content.iter_any():
                    pass
                return int(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0

    async def json(self, url: str) -> Any:
        """A page of a proxy's admin API. Raises aiohttp.ClientError, TimeoutError or ValueError."""
        async with self._request(Outgoing("GET", url, ())) as response:
            return await response.json(content_type=None)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _exchange(self, request: Outgoing) -> dict[str, Any]:
        async with self._request(request) as response:
            body = await response.content.read(BODY_LIMIT_BYTES)
            return {
                "status": response.status,
                "reason": response.reason or "",
                "headers": [[_text(name), _text(value)] for name, value in response.raw_headers],
                "body": body.decode("utf-8", "replace"),
                "error": "",
            }

    def _request(self, request: Outgoing) -> Any:
        if self._session is None:
            # Without retries and cookies of its own: what the mesh does is to be seen.
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=0, force_close=False),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=True,
                skip_auto_headers=("User-Agent",),
            )
        headers = CIMultiDict(request.headers)
        headers.setdefault("User-Agent", "minimesh-dashboard")
        return self._session.request(
            request.method,
            request.url,
            headers=headers,
            data=request.body.encode() or None,
            proxy=request.proxy or None,
            allow_redirects=False,
        )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or error.os_error}"
    return str(error) or type(error).__name__
