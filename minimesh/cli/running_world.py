"""The mesh that runs as a world to ask about, and its access logs as the past to ask about."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from minimesh.cli.invocation import invocation
from minimesh.cli.refusal import Refusal, no_mesh
from minimesh.explain.past import LogLine, Past, PastError, find_last, find_request
from minimesh.explain.world import World
from minimesh.platform.logs import last_lines
from minimesh.platform.state import Run, StateFolder

ANSWER_LIMIT_S = 20.0
PROXY_CONTAINER = "istio-proxy"


def running_world(moment: float | None = None) -> World:
    """The mesh as it is, or as it was at a moment. A Refusal when there is none, or that is forgotten."""
    state = StateFolder.default()
    run = state.running()
    if run is None:
        raise no_mesh()
    query = "" if moment is None else f"?at={moment:.3f}"
    return World.of_mesh(_ask(run, f"/debug/snapshot{query}"))


def explain_past(request_id: str, last: str) -> Past:
    """What became of a request that has happened, and why."""
    lines = _log_lines()
    try:
        found = find_request(lines, request_id) if request_id else find_last(lines, last)
    except PastError as error:
        raise Refusal(str(error)) from error
    return Past.of(found, running_world)


def _log_lines() -> list[LogLine]:
    """The access-log lines of all proxies, by pod."""
    found: list[LogLine] = []
    for pod in StateFolder.default().read_pods():
        for container in pod["containers"]:
            if container["name"] != PROXY_CONTAINER or not container["log"]:
                continue
            path, proxy = Path(container["log"]), f"{pod['namespace']}/{pod['name']}"
            for log in (path.with_name(path.name + ".1"), path):
                found += [line for text in last_lines(log, None) if (line := LogLine.read(proxy, text))]
    return sorted(found, key=lambda line: line.at)


def _ask(run: Run, path: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{run.debug_port}{path}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {run.debug_secret}"})
        with opener.open(request, timeout=ANSWER_LIMIT_S) as answer:
            document: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise Refusal(_said(error)) from error
    except (OSError, ValueError) as error:
        raise Refusal(
            f"the control plane at {url} does not answer: {error}",
            f"Stop the mesh and start it anew: {invocation('down')}",
        ) from error
    return document


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError):
        return f"the control plane answers {error.code} to {error.url}"
