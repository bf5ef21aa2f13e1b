"""Services, their ports and endpoints: what can be called, however it was declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from minimesh.control_plane.service_registry.protocols import Protocol

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


class Resolution(StrEnum):
    """How a service's name becomes addresses."""

    ENDPOINTS = "ENDPOINTS"  # the control plane knows them (EDS)
    DNS = "DNS"  # the proxy asks DNS and uses all addresses (STRICT_DNS)
    DNS_ROUND_ROBIN = "DNS_ROUND_ROBIN"  # the proxy asks DNS and uses the first address (LOGICAL_DNS)
    PASSTHROUGH = "PASSTHROUGH"  # wherever the client was going (headless services, resolution NONE)
    ALIAS = "ALIAS"  # another service's second name (ExternalName)


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service; `target_port` is a number or a container port's name, 0 for the same number."""

    name: str
    port: int
    protocol: Protocol
    target_port: int | str = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address behind one service port, or the path of a Unix socket. `weight` 0 means undeclared."""

    address: str
    port: int
    labels: Mapping[str, str] = field(default_factory=dict)
    locality: str = ""
    weight: int = 0
    workload: str = ""
    namespace: str = ""
    port_name: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One host name that can be called.

    `addresses` are virtual (ClusterIPs), `address_ranges` CIDR blocks that stand for the service; both may be
    empty. `subject_alt_names` are what certificates of its hosts may be made out to.
    """

    hostname: str
    namespace: str
    name: str
    ports: tuple[ServicePort, ...]
    addresses: tuple[str, ...] = ()
    address_ranges: tuple[str, ...] = ()
    resolution: Resolution = Resolution.ENDPOINTS
    selector: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    export_to: tuple[str, ...] = ("*",)
    external: bool = False
    kubernetes: bool = True
    external_name: str = ""
    aliases: tuple[str, ...] = ()
    publish_not_ready: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    created: str = ""
    resource: Resource | None = None

    def port(self, number: int) -> ServicePort | None:
        return next((port for port in self.ports if port.port == number), None)

    def visible_from(self, namespace: str) -> bool:
        """Whether `exportTo` lets proxies of this namespace know the service."""
        return is_exported(self.export_to, self.namespace, namespace)


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """A service port as seen from a workload that serves it."""

    service: Service
    port: ServicePort
    target_port: int


def is_exported(export_to: Sequence[str], owner: str, namespace: str) -> bool:
    """Istio's `exportTo`: `*` all, `.` the owner's namespace, `~` nobody, else a namespace's name."""
    if not export_to or "*" in export_to:
        return True
    return namespace in export_to or ("." in export_to and owner == namespace)
