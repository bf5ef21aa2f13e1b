"""The next configuration of a proxy out of the last one, where only pods have come, gone or changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.discovery.snapshot import Contents
from minimesh.control_plane.translation import build_endpoints
from minimesh.xds.responses import Packed

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.snapshot import Snapshot
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.incremental import PodChanges
    from minimesh.control_plane.translation.proxy import Proxy


def refreshed(
    proxy: Proxy, context: PushContext, changes: PodChanges, before: PushContext | None, snapshot: Snapshot
) -> Snapshot | None:
    """The snapshot, made from the context `before`, as of this context; None: all is to be made anew.

    Proxies that had the same load assignments and see them alike get the same ones again.
    """
    if changes.before() is not before or (proxy.namespace, proxy.name) in changes.workloads:
        return None
    old = snapshot.endpoints
    # The old contents are part of the result so that no others can come to have their identity meanwhile.
    _, new = context.shared.of(
        ("refreshed endpoints", id(old)),
        proxy,
        lambda seen: (old, _refreshed_endpoints(seen, context, changes, old)),
    )
    return snapshot if new is old else replace(snapshot, endpoints=new)


def _refreshed_endpoints(proxy: Proxy, context: PushContext, changes: PodChanges, old: Contents) -> Contents:
    made = build_endpoints(proxy, context, old.of_hosts(changes.hostnames), context.shared)
    packed = {name: _packed(name, each, proxy, context) for name, each in made.items()}
    changed = {name: each for name, each in packed.items() if each.version != old.resources[name].version}
    if not changed:
        return old
    part = ("refreshed contents", id(old), *map(id, changed.values()))
    return context.shared.of(part, proxy, lambda _seen: old.updated(changed))


def _packed(name: str, assignment: Any, proxy: Proxy, context: PushContext) -> Packed:
    # The assignment is part of the result so that no other can come to have its identity meanwhile.
    part = ("packed", id(assignment))
    _, packed = context.shared.of(part, proxy, lambda _seen: (assignment, Packed.of(name, assignment)))
    return packed
