"""Where a Gateway is found: the services that lead to its pods, and whether these have its ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.gateway_api.classes import deployed_name, is_deployed, service_account
from minimesh.config.gateway_api.status import GatewayStatusAddress
from minimesh.control_plane.gateway_api.conditions import Fault, Verdict

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.world import World
    from minimesh.control_plane.service_registry.services import Service


@dataclass(frozen=True, slots=True)
class GatewayAddresses:
    """The services of a Gateway, and what is to be told of them."""

    hostnames: tuple[str, ...]
    service_account: str
    """Of the pods that are deployed for the Gateway; empty when it attaches to others' pods."""
    shown: tuple[GatewayStatusAddress, ...]
    programmed: Verdict
    fault: Fault | None


def gateway_addresses(gateway: Resource, world: World) -> GatewayAddresses:
    """The services that a Gateway names, or the one that is made for it."""
    if is_deployed(gateway):
        host = world.service_host(deployed_name(gateway), gateway.namespace)
        return _found(gateway, [host], service_account(gateway), world, None)
    named, ignored = _named(gateway, world)
    fault = None
    if ignored:
        shown = f"only Hostname is supported, ignoring [{' '.join(ignored)}]"
        fault = Fault("UnsupportedAddress", shown)
        if not named:
            failed = Verdict("Programmed", fault.reason, "Failed to assign to any requested addresses", False)
            return GatewayAddresses((), "", (), failed, fault)
    return _found(gateway, named, "", world, fault)


def _found(
    gateway: Resource, hostnames: Sequence[str], account: str, world: World, fault: Fault | None
) -> GatewayAddresses:
    services = [(hostname, world.service(hostname)) for hostname in hostnames]
    ports = sorted({listener.port for listener in gateway.spec.listeners})
    return GatewayAddresses(
        tuple(hostnames),
        account,
        tuple(_shown([service for _, service in services if service is not None], ports)),
        _programmed(services, ports),
        fault,
    )


def _named(gateway: Resource, world: World) -> tuple[list[str], list[str]]:
    """The host names that are written among the addresses, and the addresses that are no host names."""
    hostnames, ignored = [], []
    for address in gateway.spec.addresses:
        if address.value and (address.type or "IPAddress") == "Hostname":
            plain = "." not in address.value
            host = world.service_host(address.value, gateway.namespace) if plain else address.value
            hostnames.append(host)
        else:
            ignored.append(address.value)
    return hostnames, ignored


def _programmed(services: Sequence[tuple[str, Service | None]], ports: Sequence[int]) -> Verdict:
    assigned, missing = [], []
    for hostname, service in services:
        if service is None:
            missing.append(f'hostname "{hostname}" not found')
            continue
        for port in ports:
            if service.port(port) is not None:
                assigned.append(f"{hostname}:{port}")
            else:
                missing.append(f'port {port} not found for hostname "{hostname}"{_hint(service, port)}')
    where, why = _listed(sorted(assigned)), _listed(missing)
    if not missing:
        return Verdict("Programmed", "Programmed", f"Resource programmed, assigned to service(s) {where}")
    begin = "Failed to assign to any requested addresses"
    if assigned:
        begin = f"Assigned to service(s) {where}, but failed to assign to all requested addresses"
    return Verdict("Programmed", "AddressNotUsable", f"{begin}: {why}", False)


def _hint(service: Service, port: int) -> str:
    """That a pod's port is named, where the service has it as the target of another."""
    found = [str(each.port) for each in service.ports if each.target_port == port]
    if not found:
        return ""
    return (
        " (hint: the service port should be specified, not the workload port. "
        f"Did you mean one of these ports: [{' '.join(found)}]?)"
    )


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b, and c`."""
    if len(words) < 3:
        return " and ".join(words)
    return f"{', '.join(words[:-1])}, and {words[-1]}"


def _shown(services: Sequence[Service], ports: Sequence[int]) -> Iterator[GatewayStatusAddress]:
    """The addresses outside of the mesh, or, where there are none, the names inside."""
    useful = [each for each in services if any(each.port(port) is not None for port in ports)]
    outside = sorted({address for each in useful for address in _external_addresses(each)})
    for type_, value in outside:
        yield GatewayStatusAddress(type=type_, value=value)
    if not outside:
        for name in sorted({each.hostname for each in useful}):
            yield GatewayStatusAddress(type="Hostname", value=name)


def _external_addresses(service: Service) -> Iterator[tuple[str, str]]:
    status: Any = service.resource.status if service.resource is not None else None
    balancer = getattr(status, "load_balancer", None)
    for each in balancer.ingress if balancer is not None else ():
        yield ("IPAddress", each.ip) if each.ip else ("Hostname", each.hostname)
