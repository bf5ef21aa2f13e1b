"""Opens what Services promise: cluster IPs, node ports, load balancers. What kube-proxy does, and a cloud.

Endpoints say which pods are ready. A port is open while something listens behind it, so that the ingress
gateway's refuses connections until a Gateway asks for it. A port that cannot be opened is told in an Event
and in the Service's status, and tried again until it can be.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from minimesh.config.kubernetes.core import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    PortStatus,
    ServicePort,
    ServiceStatus,
)
from minimesh.config.resources import Resource, ResourceKey
from minimesh.config.store import Change, Snapshot, Store
from minimesh.platform.forwarder import Forwarder, Target, listens
from minimesh.platform.pod_events import PodEvent
from minimesh.platform.pod_network import LOCALHOST
from minimesh.platform.service_network import ServiceNetwork

CHECK_INTERVAL_S = 0.2
"""How often it is looked who listens: nobody tells when a proxy opens or closes a port."""

COMPONENT = "kube-proxy"
PORT_NOT_OPENED = "PortNotOpened"
"""The reason of the Event."""

_NODE_PORT = "node port"
_TAKEN = "another process has it, another mesh for one"
_WATCHED = frozenset({"Service", "Endpoints", "Pod"})

Place = tuple[str, int]
RealPort = Callable[[str, str, int], int]
"""The port that stands for a pod's on this machine, by namespace, name and port."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A place to listen at, for a port of a Service. `what` names it: "node port", say."""

    place: Place
    what: str
    service: ResourceKey
    port: ServicePort
    targets: tuple[Target, ...]


class ServiceProxy:
    """The open ports of one store's Services. `tell` is called with what happens to a Service."""

    def __init__(
        self,
        store: Store,
        network: ServiceNetwork,
        real_port: RealPort,
        tell: Callable[[Resource, PodEvent], None] = lambda about, event: None,
    ) -> None:
        self._store = store
        self._network = network
        self._real_port = real_port
        self._tell = tell
        self._open: dict[Place, Forwarder] = {}
        self._wanted: list[Opening] = []
        self._problems: dict[tuple[Place, ResourceKey], str] = {}
        self._changed = asyncio.Event()
        self._following: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] | None = None

    def start(self) -> None:
        """Open what the store asks for now, and follow it from here on."""
        self._unwatch = self._store.watch(self._store_changed)
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Close everything. May be called twice."""
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
            self._following = None
        await asyncio.gather(*(each.abort() for each in self._open.values()))
        self._open.clear()

    def _store_changed(self, changes: Sequence[Change]) -> None:
        if any(each.resource.kind in _WATCHED for each in changes):
            self._changed.set()

    async def _follow(self) -> None:
        while True:
            self._changed.clear()
            await self._reconcile(self._store.snapshot())
            try:
                async with asyncio.timeout(CHECK_INTERVAL_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _reconcile(self, snapshot: Snapshot) -> None:
        wanted = list(openings(snapshot, self._network, self._real_port))
        first: dict[Place, Opening] = {}
        problems: dict[tuple[Place, ResourceKey], str] = {}
        for each in wanted:
            before = first.setdefault(each.place, each)
            if before is not each:
                problems[each.place, each.service] = f"it is that of service {before.service.name}"
        live = {place: each for place, each in first.items() if any(listens(*one) for one in each.targets)}
        for place in self._open.keys() - live.keys():
            self._open.pop(place).close()
        for place, opening in live.items():
            reason = await self._opened(opening)
            if reason:
                problems[place, opening.service] = reason
        idle = [each for each in first.values() if each.place not in live]
        # Who calls a node port that another mesh has gets answers, and from the wrong mesh: told at once.
        problems |= {(e.place, e.service): _TAKEN for e in idle if e.what == _NODE_PORT and listens(*e.place)}
        # What else waits for its pods keeps what was said of it.
        waiting = {(each.place, each.service) for each in idle if each.what != _NODE_PORT}
        problems |= {key: why for key, why in self._problems.items() if key in waiting}
        self._report(wanted, problems)
        self._publish()

    async def _opened(self, opening: Opening) -> str:
        """Open the place if it is not yet; why that cannot be, or an empty text."""
        found = self._open.get(opening.place)
        if found is not None:
            found.targets = opening.targets
            return ""
        forwarder = Forwarder(*opening.place, opening.targets)
        try:
            await forwarder.open()
        except OSError as error:
            return _reason(error)
        self._open[opening.place] = forwarder
        return ""

    def closed_ports(self) -> list[str]:
        """What to say of the ports that cannot be opened now, each with its reason."""
        found = {(each.place, each.service): each for each in self._wanted}
        return [
            f"Service {key[1].namespace}/{key[1].name}: {_complaint(found[key], why)}"
            for key, why in self._problems.items()
            if key in found
        ]

    def _report(self, wanted: list[Opening], problems: dict[tuple[Place, ResourceKey], str]) -> None:
        """Tell of each port that cannot be opened, once."""
        before, self._problems, self._wanted = self._problems, problems, wanted
        for each in wanted:
            key = (each.place, each.service)
            why = problems.get(key)
            about = self._store.snapshot().get(each.service)
            if why is None or before.get(key) == why or about is None:
                continue
            event = PodEvent(PORT_NOT_OPENED, _complaint(each, why), warning=True, component=COMPONENT)
            self._tell(about, event)

    def _publish(self) -> None:
        """Say where load balancers are, and which of their ports are not open."""
        for service in self._store.snapshot().by_kind("Service"):
            status = self._status(service)
            shown = service.status.load_balancer if service.status is not None else None
            if status is None and (shown is None or not shown.ingress):
                continue
            if shown != status:
                base = service.status if isinstance(service.status, ServiceStatus) else ServiceStatus()
                changed = dataclasses.replace(base, load_balancer=status or LoadBalancerStatus())
                self._store.put(dataclasses.replace(service, status=changed))

    def _status(self, service: Resource) -> LoadBalancerStatus | None:
        if service.spec.type != "LoadBalancer":
            return None
        address = self._network.external_address(service.spec.cluster_ip)
        failed = tuple(
            PortStatus(port=port.port, protocol=port.protocol, error=PORT_NOT_OPENED)
            for port in service.spec.ports
            if ((address, port.port), service.key) in self._problems
        )
        return LoadBalancerStatus(ingress=(LoadBalancerIngress(ip=address, ip_mode="VIP", ports=failed),))


def openings(snapshot: Snapshot, network: ServiceNetwork, real_port: RealPort) -> Iterator[Opening]:
    """Every place that the Services promise, whether anything answers there or not. The oldest come first."""
    services = sorted(snapshot.by_kind("Service"), key=lambda each: each.metadata.creation_timestamp)
    for service in services:
        spec = service.spec
        if spec.type == "ExternalName" or spec.cluster_ip in ("", "None"):
            continue
        for port in spec.ports:
            if port.protocol != "TCP":
                continue
            targets = tuple(_targets(service, port, snapshot, real_port))
            for place, what in _places(service, port, network):
                yield Opening(place, what, service.key, port, targets)


def _places(service: Resource, port: ServicePort, network: ServiceNetwork) -> Iterator[tuple[Place, str]]:
    spec = service.spec
    if network.answers_at(spec.cluster_ip):
        yield (spec.cluster_ip, port.port), "cluster IP"
    if port.node_port:
        yield (LOCALHOST, port.node_port), _NODE_PORT
    if spec.type == "LoadBalancer":
        yield (network.external_address(spec.cluster_ip), port.port), "load balancer"


def _targets(
    service: Resource, port: ServicePort, snapshot: Snapshot, real_port: RealPort
) -> Iterator[Target]:
    """Where the ready endpoints of a Service's port really listen."""
    found = snapshot.get(ResourceKey("Endpoints", service.namespace, service.name))
    content: Mapping[str, Any] = found.spec if found is not None else {}
    for subset in content.get("subsets") or ():
        for each in subset.get("ports") or ():
            if each.get("name", "") != port.name:
                continue
            for address in subset.get("addresses") or ():
                pod = address.get("targetRef")
                number = real_port(pod["namespace"], pod["name"], each["port"]) if pod else each["port"]
                yield address["ip"], number


def _complaint(opening: Opening, why: str) -> str:
    address, port = opening.place
    return f"cannot open {address}:{port}, the {opening.what} of port {_named(opening.port)}: {why}"


def _named(port: ServicePort) -> str:
    return f'"{port.name}"' if port.name else str(port.port)


def _reason(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return (
            "ports below 1024 need a privilege here; use the node port, or let all users open them: "
            "sudo sysctl net.ipv4.ip_unprivileged_port_start=0"
        )
    if error.errno == errno.EADDRINUSE:
        return _TAKEN
    return (error.strerror or str(error)).lower()
