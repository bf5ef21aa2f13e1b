"""A proxy's route table with somebody looking on: what each request was like, and what was tried for it.

The observed table asks the table itself, and gives its answer; what it adds is a note.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from minimesh.explain.conditions import Check, checks, first_failing

if TYPE_CHECKING:
    from minimesh.data_plane.routing.request import RequestHead
    from minimesh.data_plane.routing.route_table import Route, RouteTable, VirtualHost


@dataclass(frozen=True, slots=True)
class TriedRoute:
    """One route and what became of it. `failed` is its first condition that does not hold."""

    route: Route
    number: int
    checks: tuple[Check, ...]

    @property
    def failed(self) -> Check | None:
        return first_failing(list(self.checks))


@dataclass(slots=True)
class Routing:
    """One request at one route table. `route` None: no route took it."""

    table: RouteTable
    authority: str
    virtual_host: VirtualHost | None
    method: str = ""
    path: str = ""
    scheme: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    route: Route | None = None
    tried: tuple[TriedRoute, ...] = ()
    """In the order in which the proxy looks, up to the one that took the request."""
    after: tuple[TriedRoute, ...] = ()
    """Those that stand behind it, as far as they would have taken it too."""
    head: RequestHead | None = None
    """The request as routes saw it."""


class ObservedTable:
    """Stands in a `RouteConfigHolder` where its table stood."""

    def __init__(self, table: RouteTable, tell: Callable[[Routing], None]) -> None:
        self._table = table
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def find_virtual_host(self, authority: str) -> VirtualHost | None:
        """The table's answer, noted down."""
        found = self._table.find_virtual_host(authority)
        routing = Routing(self._table, authority, found)
        self._tell(routing)
        return None if found is None else cast("VirtualHost", _ObservedHost(found, routing))


class _ObservedHost:
    def __init__(self, virtual_host: VirtualHost, routing: Routing) -> None:
        self._virtual_host = virtual_host
        self._routing = routing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._virtual_host, name)

    def find_route(self, head: RequestHead, random_value: int) -> Route | None:
        """The virtual host's answer, and beside it each route asked for its conditions."""
        host, routing = self._virtual_host, self._routing
        found = host.find_route(head, random_value)
        routing.method, routing.path, routing.scheme = head.method, head.path, head.scheme
        routing.head = cast("Any", head).copy()
        routing.headers = tuple(cast("Any", head).copy().mutable_fields())
        routing.route = found
        tried = [
            TriedRoute(route, number, tuple(checks(match, host, head, random_value)))
            for number, (match, route) in enumerate(host.routes, 1)
        ]
        last = next((each.number for each in tried if each.route is found), len(tried))
        routing.tried = tuple(tried[:last])
        routing.after = tuple(each for each in tried[last:] if each.failed is None)
        return found


def observe(holder: Any, tell: Callable[[Routing], None]) -> None:
    """Have the table in a holder observed from now on."""
    if holder.table is not None and not isinstance(holder.table, ObservedTable):
        holder.table = ObservedTable(holder.table, tell)
