"""Requests that the VirtualServices of the gateways ask for: the first that one tries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minimesh.config.store import Snapshot

MESH = "mesh"


def requests_to_try(snapshot: Snapshot) -> list[tuple[str, str]]:
    """(host, path) for each host and path that leads from a gateway, each once; the host `*` is any."""
    found: dict[tuple[str, str], None] = {}
    for resource in snapshot.by_kind("VirtualService"):
        if not any(gateway != MESH for gateway in resource.spec.gateways):
            continue
        for host in resource.spec.hosts:
            for path in _paths(resource.spec.http):
                found[host if host == "*" else host.replace("*", "any", 1), path] = None
    return list(found)


def _paths(routes: Sequence[Any]) -> list[str]:
    paths: dict[str, None] = {}
    for route in routes:
        uris = [match.uri for match in route.match if match.uri is not None]
        for uri in uris:
            path = uri.exact or uri.prefix
            if path:
                paths[path] = None
        if not uris:
            paths["/"] = None
    return list(paths)
