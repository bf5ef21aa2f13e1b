"""Servers of Gateways that istiod leaves out, because an older one has their port or their names.

Two servers for the same proxies share a port when both are plain HTTP, or both TLS with different names.
istiod writes of the rest to its own log; the same words stand here beside the file and line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from minimesh.config.checks.gateway import PLAIN_TEXT_PROTOCOLS
from minimesh.config.creation_order import creation_order
from minimesh.config.resources import Resource


class SkippedServer(NamedTuple):
    """`path` is the field of the resource that decides."""

    resource: Resource
    path: str
    message: str


class _Port(NamedTuple):
    selector: frozenset[tuple[str, str]]
    number: int
    bind: str


class _Owner(NamedTuple):
    """Who was first at a port."""

    protocol: str
    has_tls: bool
    resource: Resource


def skipped_servers(gateways: Iterable[Resource]) -> Iterator[SkippedServer]:
    """In the order of the Gateways' age, which decides who stays."""
    owners: dict[_Port, _Owner] = {}
    names: dict[_Port, dict[str, Resource]] = {}
    for resource in sorted(gateways, key=creation_order):
        selector = frozenset(resource.spec.selector.items())
        for index, server in enumerate(resource.spec.servers):
            if server.port is None:
                continue
            path = f"spec.servers[{index}]"
            port = _Port(selector, server.port.number, server.bind)
            mine = _Owner(server.port.protocol.upper(), _is_tls(server), resource)
            owner = owners.get(port)
            if owner is not None and not _share(owner, mine):
                yield SkippedServer(
                    resource, f"{path}.port.protocol", _port_taken(resource, server, mine, owner)
                )
                continue
            taken = names.setdefault(port, {})
            hosts = server.hosts if mine.has_tls else ()
            doubled = [host for host in hosts if host.lower() in taken]
            if doubled:
                rival = taken[doubled[0].lower()]
                yield SkippedServer(resource, f"{path}.hosts", _names_taken(resource, doubled, rival))
                continue
            taken.update((host.lower(), resource) for host in hosts)
            owners.setdefault(port, mine)


def _is_tls(server: Any) -> bool:
    return server.tls is not None and server.port.protocol.upper() not in PLAIN_TEXT_PROTOCOLS


def _share(owner: _Owner, other: _Owner) -> bool:
    if owner.has_tls or other.has_tls:
        return owner.has_tls and other.has_tls
    return owner.protocol in PLAIN_TEXT_PROTOCOLS and other.protocol in PLAIN_TEXT_PROTOCOLS


def _port_taken(resource: Resource, server: Any, mine: _Owner, owner: _Owner) -> str:
    number = server.port.number
    written = f"{server.port.name}.{number}.{server.port.protocol}"
    same = " too" if mine.protocol == owner.protocol else ""
    return (
        f"skipping server on gateway {resource.name} port {written}: "
        f"conflict with existing server {number}.{owner.protocol}; port {number} is {mine.protocol} here and "
        f"{owner.protocol}{same} in {owner.resource.key}, and only the older is served: give one another port"
    )


def _names_taken(resource: Resource, hosts: Iterable[str], owner: Resource) -> str:
    return (
        f"skipping server on gateway {resource.namespace}/{resource.name}, duplicate host names: "
        f"[{' '.join(hosts)}]; {owner.key} is older and keeps them"
    )
