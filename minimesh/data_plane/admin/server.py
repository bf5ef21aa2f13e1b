"""The HTTP side of the admin API: a listener of our own, with one filter that answers everything.

As in Envoy the admin API is served by a connection manager (its counters stand under `http.admin.` and
`listener.admin.`), so keep-alive, limits and timeouts are those of any listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from minimesh.data_plane.admin.app import Answer, Command, Process, answer, commands_of
from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.network.address_map import BindAddress
from minimesh.data_plane.network.listener import Listener
from minimesh.data_plane.network.listener_settings import FilterChain, ListenerSettings
from minimesh.data_plane.routing.actions import NonForwardingAction
from minimesh.data_plane.routing.matchers import PathKind, PathMatch, RouteMatch
from minimesh.data_plane.routing.route_table import Route, RouteConfigHolder, RouteTable, VirtualHost

if TYPE_CHECKING:
    from minimesh.data_plane.admin.pages import Page
    from minimesh.data_plane.admin.view import AdminView
    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.http.stream import Stream

_NAME = "admin"
_HEADERS = (("cache-control", "no-cache, max-age=0"), ("x-content-type-options", "nosniff"))


class AdminServer:
    """The admin API of one proxy, on any number of addresses. Made inside a running event loop."""

    def __init__(self, bootstrap: Any, view: AdminView, process: Process) -> None:
        self._view = view
        self._commands = commands_of(bootstrap, view, process)
        self._listeners: list[Listener] = []

    def listen(self, host: str, port: int, *, page: Page | None = None) -> int:
        """Answer on this address, with a `page` nothing but that; the port really bound.

        Raises OSError when the address cannot be had.
        """
        commands = {page.path: self._commands[page.path]} if page is not None else self._commands
        configuration = self._view.configuration
        manager = ConnectionManager(
            HttpConnectionManagerConfig(
                stat_prefix=_NAME,
                route_config=RouteConfigHolder(_everything()),
                stats=configuration.stats,
                filters=(AdminFilter(commands, self._view),),
            )
        )
        settings = ListenerSettings(
            name=_NAME,
            configured_address=(host, port),
            addresses=(BindAddress(host, port),),
            filter_chains=(FilterChain(manager),),
            stat_prefix=_NAME,
        )
        listener = Listener(settings, configuration.stats, configuration.timers)
        listener.start()
        self._listeners.append(listener)
        if page is not None:
            self._view.pages.append(page)
        return listener.bound_addresses[0][1]

    def close(self) -> None:
        """Stop listening and close every connection; answers already given still go out."""
        for listener in self._listeners:
            listener.drain(0.0)
            listener.close_connections()
        self._listeners.clear()


class AdminFilter:
    """Answers every request. One request's answer may have to wait for workers: then a task does."""

    name = "minimesh.admin"
    by_route = False

    def __init__(self, commands: Mapping[str, Command], view: AdminView) -> None:
        self._commands = commands
        self._view = view
        self._tasks: set[asyncio.Task[None]] = set()

    def on_request(self, stream: Stream) -> FilterStatus:
        if _is_of_another_page(stream):
            self._reply(stream, Answer("requests from other web pages are refused\n", 403))
        elif self._view.concurrency == 1:
            self._reply(stream, answer(self._commands, *_request_of(stream)))
        else:
            task = asyncio.get_running_loop().create_task(self._answer_for_all(stream))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return FilterStatus.STOP

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool = False) -> FilterStatus:
        return FilterStatus.CONTINUE

    async def _answer_for_all(self, stream: Stream) -> None:
        method, path, query = _request_of(stream)
        command = self._commands.get(path)
        if command is not None and not command.post:
            await self._view.refresh(path)
        given = answer(self._commands, method, path, query)
        if command is not None and command.post and given.status == 200:
            await self._view.perform(path, query)
        self._reply(stream, given)

    def _reply(self, stream: Stream, given: Answer) -> None:
        headers = (("content-type", given.content_type), *_HEADERS)
        stream.send_local_reply(given.status, given.body.encode(), "", headers)


def _is_of_another_page(stream: Stream) -> bool:
    """Whether a browser says that a page from elsewhere sends this: one may post forms to any address."""
    head = stream.head
    assert head is not None
    return any(urlsplit(origin).netloc != head.authority for origin in head.header_values("origin"))


def _request_of(stream: Stream) -> tuple[str, str, dict[str, str]]:
    """Method, path without escapes, query."""
    head = stream.head
    assert head is not None
    path, _, query = head.path.partition("?")
    return head.method, unquote(path), dict(parse_qsl(query, keep_blank_values=True))


def _everything() -> RouteTable:
    """A table whose only route takes any request; the filter answers before it is acted on."""
    route = Route(NonForwardingAction())
    everything = RouteMatch(PathMatch(PathKind.PREFIX, "/"))
    return RouteTable(_NAME, [VirtualHost(_NAME, ("*",), [(everything, route)])])
