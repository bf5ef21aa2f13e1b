"""Which parents a route is attached to: listeners of Gateways, Services and ServiceEntries of the mesh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.kinds import GATEWAY_API
from minimesh.control_plane.gateway_api.conditions import Fault
from minimesh.control_plane.gateway_api.world import MESH_GATEWAY, group_of, is_gateway
from minimesh.control_plane.hostnames import is_subset, is_wildcard, overlaps

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.listeners import Listener
    from minimesh.control_plane.gateway_api.world import World

_ISTIO = "networking.istio.io"


@dataclass(frozen=True, slots=True)
class Attachment:
    """One parentRef with one thing that it may mean. `fault` says why the route is not attached there.

    `mesh_hosts` are the hosts whose callers inside the mesh follow the route; `port` limits it to one port.
    """

    reference: Any
    internal_name: str
    fault: Fault | None = None
    listener: Listener | None = None
    mesh_hosts: tuple[str, ...] = ()
    port: int | None = None
    narrower: tuple[str, ...] = ()
    """Host names of other listeners at the same port, which take their own requests away from this one."""

    @property
    def is_mesh(self) -> bool:
        return self.listener is None

    def serves(self, host: str) -> bool:
        """Whether requests for a host of the route can come in here, and not by a listener of its own."""
        own = self.listener.hostname if self.listener is not None else ""
        if own and not is_wildcard(own):
            return True
        if own and not overlaps(host, own):
            return False
        return not any(is_subset(host, each) and is_subset(each, own or "*") for each in self.narrower)


def attachments(
    route: Resource, world: World, listeners: Mapping[tuple[str, str], Sequence[Listener]]
) -> list[Attachment]:
    """All of a route, by the parents' names. `listeners` are those of our Gateways, by namespace and name."""
    found = [each for reference in route.spec.parent_refs for each in _of(route, reference, world, listeners)]
    return sorted(found, key=lambda each: each.internal_name)


def _of(
    route: Resource, reference: Any, world: World, listeners: Mapping[tuple[str, str], Sequence[Listener]]
) -> Iterator[Attachment]:
    namespace = reference.namespace or route.namespace
    if is_gateway(reference):
        together = listeners.get((namespace, reference.name), ())
        for listener in together:
            fault = _refusal(route, reference, listener)
            narrower = tuple(
                each.hostname
                for each in together
                if each.port == listener.port and each.hostname not in ("", listener.hostname)
            )
            yield Attachment(reference, listener.internal_name, fault, listener, narrower=narrower)
        return
    kind = (group_of(reference, GATEWAY_API), reference.kind)
    if kind == ("", "Service"):
        host = world.service_host(reference.name, namespace)
        missing = None
        if world.service(host) is None:
            missing = Fault("NoMatchingParent", f'parent service: "{reference.name}" not found')
        yield Attachment(reference, MESH_GATEWAY, missing, mesh_hosts=(host,), port=reference.port)
    elif kind == (_ISTIO, "ServiceEntry"):
        entry = world.get("ServiceEntry", namespace, reference.name)
        missing = None
        if entry is None:
            missing = Fault("NoMatchingParent", f'parent service entry: "{reference.name}" not found')
        hosts = tuple(entry.spec.hosts) if entry is not None else ()
        yield Attachment(reference, MESH_GATEWAY, missing, mesh_hosts=hosts, port=reference.port)


def _refusal(route: Resource, reference: Any, listener: Listener) -> Fault | None:
    """Why a listener does not take a route that names its Gateway."""
    if reference.port is not None and reference.port != listener.port:
        return Fault("NoMatchingParent", f"port {reference.port} not found")
    if reference.section_name is not None and reference.section_name != listener.name:
        return Fault("NoMatchingParent", f'sectionName "{reference.section_name}" not found')
    hostnames = getattr(route.spec, "hostnames", ()) or ("*",)
    fault = _hostname_refusal(hostnames, route.namespace, listener)
    if fault is not None:
        return fault
    if route.kind not in listener.kinds:
        return Fault("NotAllowedByListeners", f"kind {GATEWAY_API}/v1/{route.kind} is not allowed")
    return None


def _hostname_refusal(hostnames: Iterable[str], namespace: str, listener: Listener) -> Fault | None:
    wanted = listener.hostname or "*"
    if not any(is_subset(each, wanted) or is_subset(wanted, each) for each in hostnames):
        return Fault("NoMatchingListenerHostname", f'no hostnames matched parent hostname "{wanted}"')
    owners = {host.partition("/")[0] for host in listener.hosts}
    if owners & {"*", namespace}:
        return None
    why = (
        f'hostnames matched parent hostname "{wanted}", but namespace "{namespace}" is not allowed by the '
        "parent"
    )
    return Fault("NotAllowedByListeners", why)
