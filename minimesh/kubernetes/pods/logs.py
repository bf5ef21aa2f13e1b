"""`kubectl logs`: the lines of a container as text, to the end or as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from minimesh.config.decimals import decimal
from minimesh.config.timestamps import moment
from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.pods.container_logs import ContainerLogs, LogLine, LogReader

REMEMBERED_LOGS = 100
_LONGEST_S = 100 * 365 * 86400
INTERVAL_S = 0.05
"""How often a followed log is looked at: files tell nobody that they grew."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What of a log is asked for, and how it is to be shown."""

    tail: int | None = None
    since: datetime | None = None
    limit_bytes: int | None = None
    timestamps: bool = False
    previous: bool = False
    follow: bool = False

    @classmethod
    def read(cls, query: Mapping[str, str], now: datetime) -> LogQuery:
        """From the query string. ApiError (400) for what makes no sense."""
        return cls(
            tail=_number(query, "tailLines"),
            since=_since(query, now),
            limit_bytes=_number(query, "limitBytes"),
            timestamps=_is_true(query, "timestamps"),
            previous=_is_true(query, "previous"),
            follow=_is_true(query, "follow"),
        )

    def chosen(self, lines: list[LogLine]) -> list[LogLine]:
        """Those of the lines written so far that are asked for."""
        if self.since is not None:
            # Times go up, but for lines written between two looks; the first that is late enough begins.
            lines = lines[next((i for i, (at, _) in enumerate(lines) if at >= self.since), len(lines)) :]
        return lines if self.tail is None else lines[max(0, len(lines) - self.tail) :]

    def shown(self, lines: Iterable[LogLine]) -> bytes:
        """The lines as the client gets them."""
        return "".join(f"{self._stamp(at)}{text}\n" for at, text in lines).encode()

    def _stamp(self, at: datetime) -> str:
        return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z " if self.timestamps else ""


class ShownLines:
    """How many lines of a container's log were shown last, for who attaches and goes on from there."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def note(self, pod: Object, container: str, count: int) -> None:
        """So many lines, from the first one on, have been shown."""
        self._counts[pod["metadata"]["uid"], container] = count
        if len(self._counts) > REMEMBERED_LOGS:
            del self._counts[next(iter(self._counts))]

    def taken(self, pod: Object, container: str) -> int:
        """The count, which nobody else gets."""
        return self._counts.pop((pod["metadata"]["uid"], container), 0)


async def serve_log(
    request: web.Request, pod: Object, logs: ContainerLogs, shown: ShownLines
) -> web.StreamResponse:
    """The log of the container that the request names. ApiError (400) when there is none to show."""
    container = chosen_container(pod, request.query.get("container", ""))
    query = LogQuery.read(request.query, datetime.now(UTC))
    reader = open_log(pod, container, logs, previous=query.previous)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    if reader is not None:
        with contextlib.suppress(ConnectionResetError):
            shown.note(pod, container, await _send(request, response, reader, query))
    return response


def open_log(pod: Object, container: str, logs: ContainerLogs, *, previous: bool = False) -> LogReader | None:
    """A container's log; None for one that nothing writes. ApiError (400) when it is not there yet."""
    metadata = pod["metadata"]
    waiting = _why_it_waits(pod, container)
    if waiting:
        raise bad_request(
            f'container "{container}" in pod "{metadata["name"]}" is waiting to start: {waiting}'
        )
    reader = logs.open(metadata["namespace"], metadata["name"], container, previous=previous)
    if reader is None and previous:
        raise bad_request(
            f'previous terminated container "{container}" in pod "{metadata["name"]}" not found'
        )
    return reader


async def _send(
    request: web.Request, response: web.StreamResponse, reader: LogReader, query: LogQuery
) -> int:
    """Send what is asked for; returns how many whole lines there were at first."""
    lines = reader.lines()
    count = len(lines)
    if not query.follow:
        lines += reader.unfinished()
    data = query.shown(query.chosen(lines))
    await response.write(data if query.limit_bytes is None else data[: query.limit_bytes])
    while query.follow:
        over = reader.is_over
        if lines := reader.lines():
            await response.write(query.shown(lines))
        if over:
            await response.write(query.shown(reader.unfinished()))
            break
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(INTERVAL_S)
    return count


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


def _why_it_waits(pod: Object, container: str) -> str:
    """Why a container has never run; empty when it has, or nothing is known of it."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        waiting = (status.get("state") or {}).get("waiting")
        if status["name"] == container and waiting is not None and not status.get("containerID"):
            reason = str(waiting.get("reason", ""))
            return "trying and failing to pull image" if "Image" in reason else reason
    return ""


def _since(query: Mapping[str, str], now: datetime) -> datetime | None:
    seconds = _number(query, "sinceSeconds")
    if seconds is not None:
        return now - timedelta(seconds=min(seconds, _LONGEST_S))
    text = query.get("sinceTime")
    found = moment(text) if text else None
    if text and found is None:
        raise bad_request(f'sinceTime: Invalid value: "{text}": must be a time as 2006-01-02T15:04:05Z')
    return found


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    found = decimal(text) if text else None
    if text and found is None:
        raise bad_request(f'{name}: Invalid value: "{text}": must be a number')
    return found


def _is_true(query: Mapping[str, str], name: str) -> bool:
    return query.get(name) in ("true", "1")
