"""Requests and headers as the routing tests make them, and a table from a configuration in JSON's shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minimesh.data_plane.routing.actions import ClusterHandle, RouteAction
from minimesh.data_plane.routing.header_mutation import ValueFormatter
from minimesh.data_plane.routing.request import PeerCertificate
from minimesh.data_plane.routing.route_table import Route, RouteTable
from minimesh.data_plane.xds_client.compile.route import compile_route_configuration
from minimesh.xds import messages as m

# Headers that Envoy keeps in one line each: a value added to one is joined to the old one.
_JOINED = frozenset({"content-type", "accept", "x-forwarded-for"})


@dataclass
class Head:
    """A request head (or any headers), for both `RequestHead` and `MutableHeaders`."""

    path: str = "/"
    method: str = "GET"
    authority: str = "a.com"
    scheme: str = "http"
    headers: list[tuple[str, str]] = field(default_factory=list)
    dynamic_metadata: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    peer_certificate: PeerCertificate | None = None

    def header_values(self, name: str) -> Sequence[str]:
        pseudo = {
            ":path": self.path,
            ":method": self.method,
            ":authority": self.authority,
            ":scheme": self.scheme,
        }
        if name in pseudo:
            return (pseudo[name],)
        return [value for key, value in self.headers if key == name]

    def remove_header(self, name: str) -> None:
        self.headers = [(key, value) for key, value in self.headers if key != name]

    def set_header(self, name: str, value: str) -> None:
        self.remove_header(name)
        self.headers.append((name, value))

    def add_header(self, name: str, value: str) -> None:
        present = self.header_values(name)
        if name in _JOINED and present:
            self.set_header(name, f"{present[0]},{value}")
        else:
            self.headers.append((name, value))


class Clusters:
    """The handles of a proxy, made on demand."""

    def __init__(self, *known: str) -> None:
        self.handles = {name: ClusterHandle(name, cluster=object()) for name in known}

    def get(self, name: str) -> ClusterHandle:
        return self.handles.setdefault(name, ClusterHandle(name))

    def find(self, name: str) -> ClusterHandle | None:
        return self.handles.get(name)


def format_from_mapping(text: str) -> ValueFormatter:
    """A stand-in for the access log's formats: `%NAME%` is looked up in a mapping."""

    def formatter(info: Any) -> str:
        result = text
        for name, value in info.items():
            result = result.replace(f"%{name}%", value)
        return result

    return formatter


def compile_table(
    config: Mapping[str, Any],
    clusters: Clusters | None = None,
    compile_filter_config: Callable[[str, Any], object] | None = None,
    **options: Any,
) -> RouteTable:
    """A route table from a RouteConfiguration in the shape of its JSON."""
    message = m.json_format.ParseDict(_durations_as_text(config), m.route_pb2.RouteConfiguration())
    handles = clusters or Clusters()
    return compile_route_configuration(
        message,
        handles.get,
        find_cluster=handles.find,
        compile_format=format_from_mapping,
        compile_filter_config=compile_filter_config,
        **options,
    )


def _durations_as_text(value: Any) -> Any:
    """Envoy reads `{seconds: 30}` as well as `30s`; Python's JSON reader only the latter."""
    if isinstance(value, Mapping):
        if value and value.keys() <= {"seconds", "nanos"}:
            return f"{value.get('seconds', 0)}.{value.get('nanos', 0):09d}s"
        return {key: _durations_as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_durations_as_text(inner) for inner in value]
    return value


def one_host(*routes: Mapping[str, Any], **host: Any) -> dict[str, Any]:
    """A RouteConfiguration with one virtual host for all domains."""
    return {"name": "r", "virtual_hosts": [{"name": "v", "domains": ["*"], "routes": list(routes), **host}]}


def find(table: RouteTable, head: Head, random_value: int = 0) -> Route | None:
    virtual_host = table.find_virtual_host(head.authority)
    return None if virtual_host is None else virtual_host.find_route(head, random_value)


def route_action(config: Mapping[str, Any], match: Mapping[str, Any] | None = None) -> RouteAction:
    """The compiled action of a single route."""
    route = find(compile_table(one_host({"match": match or {"prefix": "/"}, "route": config})), Head("/x"))
    assert route is not None
    assert isinstance(route.action, RouteAction)
    return route.action
