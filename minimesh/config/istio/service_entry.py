"""ServiceEntry and WorkloadEntry: services and workloads that Kubernetes does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Annotated, Any

from minimesh.config.istio.traffic import PortNumber, WorkloadSelector
from minimesh.config.schema import Length, Message, Req, Rule, UInt32, message

UNIX_PREFIX = "unix://"
"""What the address of a Unix domain socket begins with; an abstract socket's path begins with `@`."""

WorkloadAddress = Annotated[
    str,
    Length(0, 256),
    Rule(
        "UDS must be an absolute path or abstract socket",
        lambda text: not text.startswith(UNIX_PREFIX) or text[7:8] in ("/", "@"),
    ),
    Rule("UDS may not be a dir", lambda text: not text.startswith(UNIX_PREFIX) or not text.endswith("/")),
]


def _are_port_names(ports: Mapping[str, int]) -> bool:
    return all(re.fullmatch(r"[a-zA-Z0-9](?:[-a-zA-Z0-9]{0,60}[a-zA-Z0-9])?", name) for name in ports)


WorkloadPorts = Annotated[
    Mapping[str, PortNumber],
    Length(0, 128),
    Rule("port name must be valid", _are_port_names),
]


def _socket_without_ports(given: Mapping[str, Any]) -> bool:
    return not str(given.get("address", "")).startswith(UNIX_PREFIX) or "ports" not in given


NO_PORTS_ON_SOCKET = Rule("UDS may not include ports", _socket_without_ports)


class Location(StrEnum):
    """Whether a service is part of the mesh."""

    MESH_EXTERNAL = "MESH_EXTERNAL"
    MESH_INTERNAL = "MESH_INTERNAL"


class Resolution(StrEnum):
    """How the addresses of a service are found."""

    NONE = "NONE"
    STATIC = "STATIC"
    DNS = "DNS"
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"
    DYNAMIC_DNS = "DYNAMIC_DNS"


@message
class ServicePort(Message):
    """A port of the service."""

    number: Req[PortNumber] = 0
    protocol: Annotated[str, Length(0, 256)] = ""
    name: Req[Annotated[str, Length(0, 256)]] = ""
    target_port: PortNumber = 0


def _names_differ(ports: tuple[ServicePort, ...]) -> bool:
    return len({port.name for port in ports}) == len(ports)


def _numbers_differ(ports: tuple[ServicePort, ...]) -> bool:
    return len({port.number for port in ports}) == len(ports)


ServicePorts = Annotated[
    tuple[ServicePort, ...],
    Length(0, 256),
    Rule("Duplicate value: each port needs a name of its own", _names_differ),
    Rule("port number cannot be duplicated", _numbers_differ),
]


@message
class WorkloadEntry(Message):
    """One workload: where it is and what its labels are."""

    schema_rules = (
        Rule("Address is required", lambda given: "address" in given or "network" in given),
        NO_PORTS_ON_SOCKET,
    )

    address: WorkloadAddress = ""
    ports: WorkloadPorts = field(default_factory=dict)
    labels: Annotated[Mapping[str, str], Length(0, 256)] = field(default_factory=dict)
    network: Annotated[str, Length(0, 2048)] = ""
    locality: Annotated[str, Length(0, 2048)] = ""
    weight: UInt32 = 0
    service_account: Annotated[str, Length(0, 253)] = ""


def _resolution(given: Mapping[str, Any]) -> Resolution:
    resolution = given.get("resolution", Resolution.NONE)
    assert isinstance(resolution, Resolution)
    return resolution


def _ranges_are_literal(given: Mapping[str, Any]) -> bool:
    has_range = any("/" in one for one in given.get("addresses", ()))
    return not has_range or _resolution(given) in (Resolution.NONE, Resolution.STATIC)


def _none_has_no_endpoints(given: Mapping[str, Any]) -> bool:
    return _resolution(given) is not Resolution.NONE or not given.get("endpoints")


def _round_robin_over_one_name(given: Mapping[str, Any]) -> bool:
    return _resolution(given) is not Resolution.DNS_ROUND_ROBIN or len(given.get("endpoints", ())) <= 1


Host = Annotated[str, Rule("hostname cannot be wildcard", lambda text: text != "*")]


@message
class ServiceEntry(Message):
    """A service by its hosts, ports and endpoints."""

    schema_rules = (
        Rule(
            "only one of WorkloadSelector or Endpoints can be set",
            lambda given: not ("workloadSelector" in given and "endpoints" in given),
        ),
        Rule("CIDR addresses are allowed only for NONE/STATIC resolution types", _ranges_are_literal),
        Rule("NONE mode cannot set endpoints", _none_has_no_endpoints),
        Rule("DNS_ROUND_ROBIN mode cannot have multiple endpoints", _round_robin_over_one_name),
    )

    hosts: Req[Annotated[tuple[Host, ...], Length(1, 256)]] = ()
    addresses: Annotated[tuple[Annotated[str, Length(0, 64)], ...], Length(0, 256)] = ()
    ports: ServicePorts = ()
    location: Location | None = None
    resolution: Resolution | None = None
    endpoints: Annotated[tuple[WorkloadEntry, ...], Length(0, 4096)] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
