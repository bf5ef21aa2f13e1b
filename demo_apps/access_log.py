"""The access log of the servers that the published images run: a line on standard output for each answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

WSGIApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Line = Callable[[dict[str, Any], int, int, float], str]
"""Environment, status, bytes of the body, seconds taken -> a line."""


def logged(application: WSGIApplication, line: Line) -> WSGIApplication:
    """The same application, with a line printed when an answer is complete."""

    def logging(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterator[bytes]:
        started_s = time.perf_counter()
        status = size = 0

        def start(said: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            nonlocal status
            status = int(said.partition(" ")[0])
            return start_response(said, headers, *more)

        body = application(environ, start)
        try:
            for piece in body:
                size += len(piece)
                yield piece
        finally:
            if hasattr(body, "close"):
                body.close()
            print(line(environ, status, size, time.perf_counter() - started_s), flush=True)

    return logging


def gunicorn(environ: dict[str, Any], status: int, size_bytes: int, duration_s: float) -> str:
    """As `--access-logfile -` has it."""
    now = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
    request = f"{environ['REQUEST_METHOD']} {_uri(environ)} {environ['SERVER_PROTOCOL']}"
    referer, agent = (environ.get(f"HTTP_{name}", "-") for name in ("REFERER", "USER_AGENT"))
    return f'{environ["REMOTE_ADDR"]} - - [{now}] "{request}" {status} {size_bytes} "{referer}" "{agent}"'


def go_httpbin(environ: dict[str, Any], status: int, size_bytes: int, duration_s: float) -> str:
    """As go-httpbin has it without being asked."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    method, uri, took_ms = environ["REQUEST_METHOD"], _uri(environ), duration_s * 1000
    facts = {
        "status": status,
        "method": method,
        "uri": uri,
        "size_bytes": size_bytes,
        "duration_ms": round(took_ms, 6),
        "user_agent": environ.get("HTTP_USER_AGENT", ""),
        "client_ip": environ["REMOTE_ADDR"],
    }
    told = " ".join(f"{name}={_quoted(str(value))}" for name, value in facts.items())
    return f'time={now} level=INFO msg="{status} {method} {uri} {took_ms:.1f}ms" {told}'


FORMATS: dict[str, Line] = {"gunicorn": gunicorn, "go-httpbin": go_httpbin}


def _uri(environ: dict[str, Any]) -> str:
    query = environ.get("QUERY_STRING")
    path = str(environ.get("PATH_INFO", ""))
    return f"{path}?{query}" if query else path


def _quoted(text: str) -> str:
    return text if re.fullmatch(r'[^\s="]+', text) else json.dumps(text)
