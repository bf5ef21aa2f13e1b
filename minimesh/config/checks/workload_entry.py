"""Rules for WorkloadEntry and WorkloadGroup."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, check_labels, check_port
from minimesh.config.checks.hosts import check_unix_path, fqdn_problem, is_dns_label
from minimesh.config.diagnostics import Severity
from minimesh.config.ip_addresses import is_ip_address
from minimesh.config.source_map import join

if TYPE_CHECKING:
    from minimesh.config.istio.service_entry import WorkloadEntry
    from minimesh.config.istio.workload_group import ReadinessProbe, WorkloadGroup

UNIX_PREFIX = "unix://"


def check_workload_entry(
    spec: WorkloadEntry,
    path: str = "spec",
    service_ports: Set[str] | None = None,
    *,
    names: bool = True,
    sockets: bool = True,
) -> Findings:
    """One workload. Within a ServiceEntry: `service_ports` are the names of its ports, and its resolution
    says whether the address may be a DNS name, or a Unix domain socket."""
    address = spec.address
    at = f"{path}.address"
    if not address:
        if not spec.network:
            yield Finding(at, "missing-field", "address is required")
            return
        message = f'address is unset with network "{spec.network}"'
        yield Finding(f"{path}.network", "missing-field", message, Severity.WARNING)
    elif sockets and address.startswith(UNIX_PREFIX):
        yield from check_unix_path(at, address.removeprefix(UNIX_PREFIX))
        if spec.ports:
            yield Finding(
                f"{path}.ports", "several-matches", f"unix endpoint {address} must not include ports"
            )
        if service_ports is not None and len(service_ports) != 1:
            yield Finding(at, "bad-address", "exactly 1 service port required for unix endpoints")
    elif not is_ip_address(address) and not names:
        message = f'endpoint address "{address}" is not a valid IP address; resolution STATIC needs one'
        yield Finding(at, "bad-address", message)
    elif not is_ip_address(address) and fqdn_problem(address) is not None:
        message = f'endpoint address "{address}" is not a valid FQDN or an IP address'
        yield Finding(at, "bad-address", message)
    yield from _ports(path, spec, service_ports)
    yield from check_labels(f"{path}.labels", spec.labels)


def _ports(path: str, spec: WorkloadEntry, service_ports: Set[str] | None) -> Findings:
    for name, number in spec.ports.items():
        at = join(f"{path}.ports", name)
        if service_ports is not None and name not in service_ports:
            message = f'endpoint port "{name}" is not defined by the service entry'
            yield Finding(at, "bad-reference", message)
        if not is_dns_label(name):
            yield Finding(at, "bad-name", f"invalid port name: {name}")
        yield from check_port(at, number)


def check_workload_group(spec: WorkloadGroup) -> Findings:
    if spec.metadata is not None:
        yield from check_labels("spec.metadata.labels", spec.metadata.labels)
    if spec.probe is not None:
        yield from _probe("spec.probe", spec.probe)


def _probe(path: str, probe: ReadinessProbe) -> Findings:
    given = [name for name in ("http_get", "tcp_socket", "exec", "grpc") if getattr(probe, name) is not None]
    if len(given) != 1:
        message = "unknown health check method; give one of httpGet, tcpSocket, exec, grpc"
        yield Finding(path, "several-matches" if given else "missing-field", message)
    if probe.exec is not None and not probe.exec.command:
        yield Finding(f"{path}.exec.command", "missing-field", "exec.command is required")
