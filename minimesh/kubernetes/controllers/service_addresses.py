"""Services' cluster IPs and node ports: which are given, kept, refused.

The API server asks this when a client writes a Service, as Kubernetes' allocators are asked; `reconcile` does
the same for those that files declare. An address is a hash of the Service's name, so that it stays the same
over restarts and when a file is read again; one that is taken moves on to the next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from minimesh.config.kubernetes.core import ServicePort, ServiceSpec
from minimesh.config.resources import Resource
from minimesh.config.store import Snapshot
from minimesh.kubernetes.controllers.outcome import Outcome
from minimesh.kubernetes.defaults import set_service_defaults

NODE_PORTS = range(30000, 32768)
HEADLESS = "None"
_DEFAULT_RANGE = "10.96.0.0/12"
_EXAMPLES = "(e.g. 10.9.8.7 or 2001:db8::ffff)"
_WITH_NODE_PORTS = frozenset({"NodePort", "LoadBalancer"})

Cause = Mapping[str, str]


class ServiceAddresses:
    """The ranges of one mesh. `cluster_ips` is a CIDR; `salt` lets meshes differ in what they give."""

    def __init__(self, cluster_ips: str = _DEFAULT_RANGE, salt: str = "") -> None:
        self._range = ipaddress.IPv4Network(cluster_ips)
        self._salt = salt

    def reconcile(self, snapshot: Snapshot) -> Outcome:
        """The Services that lack an address or a port, with it."""
        services = snapshot.by_kind("Service")
        given = [(each, self.assigned(each, services)) for each in services]
        return Outcome(tuple(after for before, after in given if after is not before))

    def assigned(self, service: Resource, services: Iterable[Resource]) -> Resource:
        """The Service with all that its type has; itself when nothing lacks. `services` are all there are."""
        spec: ServiceSpec = service.spec
        others = [each for each in services if each.key != service.key]
        address = spec.cluster_ip or next(iter(spec.cluster_ips), "")
        if spec.type == "ExternalName":
            address = ""
        elif not address:
            address = self._free_address(service, {each.spec.cluster_ip for each in others})
        ports = spec.ports
        if _has_node_ports(spec):
            ports = self._with_node_ports(service, _node_ports(others))
        return _with(service, address, ports)

    def kept(self, service: Resource, old: Resource) -> Resource:
        """A Service in the place of `old`, with what that had and it still needs, where it is silent."""
        spec: ServiceSpec = service.spec
        before: ServiceSpec = old.spec
        address = spec.cluster_ip
        if spec.type == "ExternalName":
            address = "" if address == before.cluster_ip else address
        elif before.type != "ExternalName":
            address = address or before.cluster_ip
        had = {(port.name, port.port, port.protocol): port.node_port for port in before.ports}
        ports = spec.ports
        if _has_node_ports(spec):
            ports = tuple(
                dataclasses.replace(port, node_port=had.get((port.name, port.port, port.protocol)))
                if not port.node_port
                else port
                for port in ports
            )
        elif _has_node_ports(before):
            given_back = set(had.values())
            ports = tuple(
                dataclasses.replace(port, node_port=None) if port.node_port in given_back else port
                for port in ports
            )
        return _with(service, address, ports)

    def refusals(self, service: Resource, services: Iterable[Resource], old: Resource | None) -> list[Cause]:
        """Why the Service cannot have what it asks for, in the API server's words."""
        others = [each for each in services if each.key != service.key]
        before: ServiceSpec | None = old.spec if old is not None else None
        causes = self._address_refusals(service.spec, others, before)
        return [*causes, *_port_refusals(service.spec, _node_ports(others), before)]

    def _address_refusals(
        self, spec: ServiceSpec, others: Sequence[Resource], before: ServiceSpec | None
    ) -> list[Cause]:
        address = spec.cluster_ip
        shown = json.dumps(list(spec.cluster_ips) or [address])
        if before is not None and before.cluster_ip and spec.type != "ExternalName":
            if address == before.cluster_ip:
                return []
            return [_cause("spec.clusterIPs[0]", f"Invalid value: {shown}: may not change once set")]
        if not address or address == HEADLESS:
            return []
        failed = f"Invalid value: {shown}: failed to allocate IP {address}:"
        try:
            inside = ipaddress.IPv4Address(address) in self._range
        except ValueError:
            wrong = f'Invalid value: "{address}": must be a valid IP address, {_EXAMPLES}'
            return [_cause("spec.clusterIPs[0]", wrong)]
        if not inside:
            why = (
                f"the provided IP ({address}) is not in the valid range. "
                f"The range of valid IPs is {self._range}"
            )
            return [_cause("spec.clusterIPs", f"{failed} {why}")]
        if any(each.spec.cluster_ip == address for each in others):
            return [_cause("spec.clusterIPs", f"{failed} provided IP is already allocated")]
        return []

    def _free_address(self, service: Resource, taken: Collection[str]) -> str:
        usable = self._range.num_addresses - 2
        offset = self._number(f"{service.namespace}/{service.name}") % usable
        while str(self._range[offset + 1]) in taken:
            offset = (offset + 1) % usable
        return str(self._range[offset + 1])

    def _with_node_ports(self, service: Resource, taken: Collection[int]) -> tuple[ServicePort, ...]:
        used = {*taken, *(port.node_port for port in service.spec.ports if port.node_port)}
        found = []
        for port in service.spec.ports:
            number = port.node_port
            if not number:
                number = self._free_port(f"{service.namespace}/{service.name}/{port.name}/{port.port}", used)
                used.add(number)
            found.append(port if number == port.node_port else dataclasses.replace(port, node_port=number))
        return tuple(found)

    def _free_port(self, name: str, taken: Collection[int]) -> int:
        first = self._number(name) % len(NODE_PORTS)
        turned = (*NODE_PORTS[first:], *NODE_PORTS[:first])
        return next((each for each in turned if each not in taken), NODE_PORTS[first])

    def _number(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._salt}{name}".encode()).digest()[:8], "big")


def _has_node_ports(spec: ServiceSpec) -> bool:
    wanted = spec.type != "LoadBalancer" or spec.allocate_load_balancer_node_ports is not False
    return spec.type in _WITH_NODE_PORTS and wanted


def _node_ports(services: Iterable[Resource]) -> frozenset[int]:
    return frozenset(port.node_port for each in services for port in each.spec.ports if port.node_port)


def _port_refusals(spec: ServiceSpec, taken: Collection[int], before: ServiceSpec | None) -> list[Cause]:
    had = {port.node_port for port in before.ports} if before is not None else set()
    causes = []
    for index, port in enumerate(spec.ports):
        field, number = f"spec.ports[{index}].nodePort", port.node_port
        if not number or (number in had and spec.type in _WITH_NODE_PORTS):
            continue
        if spec.type not in _WITH_NODE_PORTS:
            message = f"Forbidden: may not be used when `type` is '{spec.type}'"
            causes.append(_cause(field, message, "FieldValueForbidden"))
        elif number not in NODE_PORTS:
            valid = f"The range of valid ports is {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            message = f"Invalid value: {number}: provided port is not in the valid range. {valid}"
            causes.append(_cause(field, message))
        elif number in taken:
            causes.append(_cause(field, f"Invalid value: {number}: provided port is already allocated"))
    return causes


def _cause(field: str, message: str, reason: str = "FieldValueInvalid") -> Cause:
    return {"reason": reason, "message": message, "field": field}


def _with(service: Resource, address: str, ports: tuple[ServicePort, ...]) -> Resource:
    """The Service with this address and these ports, in its fields and in what is shown of it."""
    spec: ServiceSpec = service.spec
    addresses = (address,) if address else ()
    changed = dataclasses.replace(spec, cluster_ip=address, cluster_ips=addresses, ports=ports)
    if changed == spec:
        return service
    raw = service.raw
    if raw:
        raw = {**raw, "spec": _written(raw.get("spec") or {}, addresses, ports)}
    return dataclasses.replace(service, spec=changed, raw=raw)


def _written(
    spec: Mapping[str, Any], addresses: Sequence[str], ports: Iterable[ServicePort]
) -> dict[str, Any]:
    kept = {name: value for name, value in spec.items() if name not in ("clusterIP", "clusterIPs")}
    given = {"clusterIP": addresses[0], "clusterIPs": list(addresses)} if addresses else {}
    shown = []
    for each, port in zip(spec.get("ports") or (), ports, strict=True):
        without = {name: value for name, value in each.items() if name != "nodePort"}
        shown.append({**without, **({"nodePort": port.node_port} if port.node_port else {})})
    written = {**given, **kept, **({"ports": shown} if shown else {})}
    set_service_defaults(written)
    return written
