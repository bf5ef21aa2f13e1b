"""Sidecar: what the sidecars of some workloads listen on and can reach."""

from __future__ import annotations

from enum import StrEnum

from minimesh.config.istio.destination_rule import ConnectionPoolSettings
from minimesh.config.istio.traffic import Destination, ServerTLSSettings, WorkloadSelector
from minimesh.config.schema import Message, Req, UInt32, message


class CaptureMode(StrEnum):
    """How traffic comes to a listener."""

    DEFAULT = "DEFAULT"
    IPTABLES = "IPTABLES"
    NONE = "NONE"


class OutboundTrafficPolicyMode(StrEnum):
    """Whether hosts that the registry does not know can be reached."""

    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY = "ALLOW_ANY"


@message
class SidecarPort(Message):
    """A port of a sidecar's listener."""

    number: UInt32 = 0
    protocol: str = ""
    name: str = ""
    target_port: UInt32 = 0


@message
class IstioIngressListener(Message):
    """Traffic that comes to the workload."""

    port: Req[SidecarPort | None] = None
    bind: str = ""
    capture_mode: CaptureMode | None = None
    default_endpoint: str = ""
    tls: ServerTLSSettings | None = None
    connection_pool: ConnectionPoolSettings | None = None


@message
class IstioEgressListener(Message):
    """Traffic that leaves the workload; hosts as `namespace/dnsName`."""

    port: SidecarPort | None = None
    bind: str = ""
    capture_mode: CaptureMode | None = None
    hosts: Req[tuple[str, ...]] = ()


@message
class OutboundTrafficPolicy(Message):
    """What happens to traffic for unknown hosts."""

    mode: OutboundTrafficPolicyMode | None = None
    egress_proxy: Destination | None = None


@message
class Sidecar(Message):
    """Settings for the sidecars of the selected workloads, or of the namespace."""

    workload_selector: WorkloadSelector | None = None
    ingress: tuple[IstioIngressListener, ...] = ()
    egress: tuple[IstioEgressListener, ...] = ()
    inbound_connection_pool: ConnectionPoolSettings | None = None
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
