"""Gateways that select one proxy, merged: which ports it listens on, and whose servers share a port.

Several Gateways may name the same port. Plain HTTP servers then share one listener and one route
configuration; anything else on a port already taken by another protocol is left out, the first keeping it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.creation_order import creation_order
from minimesh.control_plane.internal_annotations import GATEWAY_SERVICE
from minimesh.control_plane.service_registry.protocols import Protocol, parse_protocol
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.config.resources import Resource

WILDCARD_ADDRESS = "0.0.0.0"  # noqa: S104  a name in a listener, bound by the proxy through its address map
_TERMINATING_TLS_MODES = frozenset({"SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"})


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """One server of one Gateway. Hosts are lower case, `namespace/host` where the Gateway restricts them."""

    gateway: str
    port: int
    port_name: str
    protocol: Protocol
    hosts: tuple[str, ...]
    tls: Any
    resource: Resource

    @property
    def https_redirect(self) -> bool:
        return self.tls is not None and bool(self.tls.https_redirect)

    @property
    def terminates_tls(self) -> bool:
        return self.tls is not None and str(self.tls.mode) in _TERMINATING_TLS_MODES

    @property
    def is_http(self) -> bool:
        """Whether requests are seen: plain HTTP, or HTTPS that ends here."""
        return self.protocol.is_http or (self.protocol is Protocol.HTTPS and self.terminates_tls)

    def route_name(self, port: ServerPort) -> str:
        """The route configuration for its requests, where it listens on this port of the proxy."""
        if self.protocol.is_http:
            return resource_names.gateway_http_route_name(port.port, port.own_address)
        namespace, _, name = self.gateway.partition("/")
        return resource_names.gateway_https_route_name(
            self.port, self.port_name, name, namespace, port.own_address
        )

    def hosts_for(self, namespace: str) -> list[str]:
        """The hosts that VirtualServices of this namespace may attach to."""
        found = []
        for written in self.hosts:
            owner, separator, host = written.rpartition("/")
            if not separator or owner in (namespace, "*"):
                found.append(host)
        return found


@dataclass(frozen=True, slots=True)
class ServerPort:
    """A port that the proxy really listens on."""

    port: int
    bind: str

    @property
    def own_address(self) -> str:
        """The address that servers ask for; empty where they take what comes."""
        return "" if self.bind == WILDCARD_ADDRESS else self.bind


@dataclass(frozen=True, slots=True)
class MergedGateway:
    """All that the selecting Gateways ask of one proxy. Servers keep the order of their Gateways' age."""

    plain_servers: Mapping[ServerPort, tuple[GatewayServer, ...]]
    tls_servers: Mapping[ServerPort, tuple[GatewayServer, ...]]
    servers_by_route: Mapping[str, tuple[GatewayServer, ...]]

    @property
    def gateway_names(self) -> frozenset[str]:
        groups = (*self.plain_servers.values(), *self.tls_servers.values())
        return frozenset(server.gateway for group in groups for server in group)


def merge_gateways(
    resources: Iterable[Resource], target_ports: Callable[[int, Collection[str]], Iterable[int]]
) -> MergedGateway:
    """Merge Gateways. `target_ports(80, hostnames)` gives the proxy's ports behind port 80 of its Service,
    or of those services alone that the host names name."""
    merging = _Merging()
    for resource in sorted(resources, key=creation_order):
        spec: Any = resource.spec
        for written in spec.servers:
            if written.port is None:
                continue
            server = _server(resource, written)
            for port in target_ports(server.port, serving_hostnames(resource)):
                merging.add(server, ServerPort(port, written.bind or WILDCARD_ADDRESS))
    return merging.result()


def serving_hostnames(resource: Resource) -> tuple[str, ...]:
    """The services whose pods serve a Gateway that the Gateway API made; none where a selector chooses."""
    named = resource.metadata.annotations.get(GATEWAY_SERVICE, "")
    return tuple(each for each in named.split(",") if each)


def selects(resource: Resource, labels: Mapping[str, str], served: Collection[str] = ()) -> bool:
    """Whether a Gateway chooses a proxy with these labels, which stands behind the services `served`."""
    hostnames = serving_hostnames(resource)
    if hostnames:
        return any(each in served for each in hostnames)
    spec: Any = resource.spec
    return all(labels.get(key) == value for key, value in spec.selector.items())


class _Merging:
    """The state of one merge."""

    def __init__(self) -> None:
        self._plain: dict[ServerPort, list[GatewayServer]] = {}
        self._tls: dict[ServerPort, list[GatewayServer]] = {}
        self._routes: dict[str, list[GatewayServer]] = {}
        self._tls_hosts: dict[ServerPort, set[str]] = {}

    def add(self, server: GatewayServer, port: ServerPort) -> None:
        if server.tls is not None and not server.protocol.is_http:
            self._add_tls(server, port)
        else:
            self._add_plain(server, port)

    def _add_plain(self, server: GatewayServer, port: ServerPort) -> None:
        if port in self._tls:
            return
        others = self._plain.get(port)
        if others and not (server.protocol.is_http and others[0].protocol.is_http):
            return
        self._plain.setdefault(port, []).append(server)
        if server.protocol.is_http:
            self._routes.setdefault(server.route_name(port), []).append(server)

    def _add_tls(self, server: GatewayServer, port: ServerPort) -> None:
        taken = self._tls_hosts.setdefault(port, set())
        if port in self._plain or taken.intersection(server.hosts):
            return
        taken.update(server.hosts)
        self._tls.setdefault(port, []).append(server)
        if server.is_http:
            self._routes.setdefault(server.route_name(port), []).append(server)

    def result(self) -> MergedGateway:
        return MergedGateway(
            {port: tuple(servers) for port, servers in self._plain.items()},
            {port: tuple(servers) for port, servers in self._tls.items()},
            {name: tuple(servers) for name, servers in self._routes.items()},
        )


def _server(resource: Resource, written: Any) -> GatewayServer:
    return GatewayServer(
        gateway=f"{resource.namespace}/{resource.name}",
        port=written.port.number,
        port_name=written.port.name,
        protocol=parse_protocol(written.port.protocol),
        hosts=_sanitized_hosts(written.hosts, resource.namespace),
        tls=written.tls,
        resource=resource,
    )


def _sanitized_hosts(hosts: Iterable[str], namespace: str) -> tuple[str, ...]:
    """`./host` -> `namespace/host`, `*/host` -> `host`, and `*/*` swallows all others."""
    found = []
    for written in hosts:
        owner, separator, host = written.lower().rpartition("/")
        if separator and owner == "*" and host == "*":
            return ("*",)
        if owner == ".":
            found.append(f"{namespace}/{host}")
        elif separator and owner != "*":
            found.append(f"{owner}/{host}")
        else:
            found.append(host)
    return tuple(found)
