"""ServiceEntry and WorkloadEntry: services and workloads that Kubernetes does not know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from minimesh.config.istio.traffic import WorkloadSelector
from minimesh.config.schema import Message, Req, UInt32, message


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

    number: Req[UInt32] = 0
    protocol: str = ""
    name: Req[str] = ""
    target_port: UInt32 = 0


@message
class WorkloadEntry(Message):
    """One workload: where it is and what its labels are."""

    address: str = ""
    ports: Mapping[str, UInt32] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    locality: str = ""
    weight: UInt32 = 0
    service_account: str = ""


@message
class ServiceEntry(Message):
    """A service by its hosts, ports and endpoints."""

    hosts: Req[tuple[str, ...]] = ()
    addresses: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    location: Location | None = None
    resolution: Resolution | None = None
    endpoints: tuple[WorkloadEntry, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
