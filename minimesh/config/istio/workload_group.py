"""WorkloadGroup: what the workload entries of a group of virtual machines have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from minimesh.config.istio.service_entry import NO_PORTS_ON_SOCKET, WorkloadAddress, WorkloadPorts
from minimesh.config.istio.traffic import PortNumber
from minimesh.config.schema import Length, Message, Pattern, Range, Req, Rule, UInt32, message

Count = Annotated[int, Range(0, 2**31 - 1)]
Labels = Annotated[Mapping[str, str], Length(0, 256)]
Scheme = Annotated[
    str, Rule("scheme must be one of [HTTP, HTTPS]", lambda text: text in ("", "HTTP", "HTTPS"))
]


@message
class WorkloadGroupMetadata(Message):
    """Labels and annotations for the entries."""

    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)


@message
class WorkloadTemplate(Message):
    """The entry of a workload, without what only its registration tells."""

    schema_rules = (NO_PORTS_ON_SOCKET,)

    address: WorkloadAddress = ""
    ports: WorkloadPorts = field(default_factory=dict)
    labels: Labels = field(default_factory=dict)
    network: Annotated[str, Length(0, 2048)] = ""
    locality: Annotated[str, Length(0, 2048)] = ""
    weight: UInt32 = 0
    service_account: Annotated[str, Length(0, 253)] = ""


@message
class HTTPHeader(Message):
    """A header of the probe's request."""

    name: Annotated[str, Pattern("^[-_A-Za-z0-9]+$")] = ""
    value: str = ""


@message
class HTTPHealthCheckConfig(Message):
    """Ready when a GET is answered with success."""

    path: str = ""
    port: Req[PortNumber] = 0
    host: str = ""
    scheme: Scheme = ""
    http_headers: tuple[HTTPHeader, ...] = ()


@message
class TCPHealthCheckConfig(Message):
    """Ready when a connection can be made."""

    host: str = ""
    port: Req[PortNumber] = 0


@message
class ExecHealthCheckConfig(Message):
    """Ready when a command ends well."""

    command: Req[tuple[Annotated[str, Length(1)], ...]] = ()


@message
class GrpcHealthCheckConfig(Message):
    """Ready when gRPC's health service says so."""

    port: PortNumber = 0
    service: str = ""


@message
class ReadinessProbe(Message):
    """When a workload takes requests."""

    initial_delay_seconds: Count = 0
    timeout_seconds: Count = 0
    period_seconds: Count = 0
    success_threshold: Count = 0
    failure_threshold: Count = 0
    http_get: HTTPHealthCheckConfig | None = None
    tcp_socket: TCPHealthCheckConfig | None = None
    exec: ExecHealthCheckConfig | None = None
    grpc: GrpcHealthCheckConfig | None = None


@message
class WorkloadGroup(Message):
    """Metadata, template and probe of a group of workloads."""

    metadata: WorkloadGroupMetadata | None = None
    template: Req[WorkloadTemplate | None] = None
    probe: ReadinessProbe | None = None
