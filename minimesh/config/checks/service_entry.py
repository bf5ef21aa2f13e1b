"""Rules for ServiceEntry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.config.checks.finding import Finding, Findings, check_port
from minimesh.config.checks.hosts import (
    check_subnets,
    check_wildcard_host,
    fqdn_problem,
    is_dns_label,
    is_partial_wildcard,
)
from minimesh.config.checks.protocols import check_protocol, is_http, is_tcp, is_tls
from minimesh.config.checks.selectors import check_label_selector
from minimesh.config.checks.workload_entry import check_workload_entry
from minimesh.config.diagnostics import Severity

if TYPE_CHECKING:
    from minimesh.config.istio.service_entry import ServiceEntry

_DYNAMIC_PROTOCOLS = ("HTTP", "HTTP2", "GRPC", "TLS", "HTTPS")


def check_service_entry(spec: ServiceEntry) -> Findings:
    if not spec.hosts:
        yield Finding("spec.hosts", "missing-field", "is empty; list the names of the service")
    if spec.workload_selector is not None and spec.endpoints:
        yield Finding(
            "spec.endpoints", "several-matches", "does not go with workloadSelector; keep one of them"
        )
    yield from check_label_selector("spec.workloadSelector", spec.workload_selector, "service entry: ")
    yield from _hosts(spec)
    yield from check_subnets("spec.addresses", spec.addresses)
    yield from _ports(spec)
    yield from _RESOLUTIONS[spec.resolution or "NONE"](spec)
    yield from _several_hosts(spec)


def _hosts(spec: ServiceEntry) -> Findings:
    for index, host in enumerate(spec.hosts):
        path = f"spec.hosts[{index}]"
        if host == "*":
            yield Finding(path, "bad-host", "invalid host *: hostname cannot be wildcard")
            continue
        yield from check_wildcard_host(path, host)
        if is_partial_wildcard(host):
            message = f'partial wildcard "{host}" not allowed; write *.{host.lstrip("*-.")}'
            yield Finding(path, "bad-host", message, Severity.WARNING)


def _ports(spec: ServiceEntry) -> Findings:
    for index, port in enumerate(spec.ports):
        path = f"spec.ports[{index}]"
        yield from check_port(f"{path}.number", port.number)
        yield from check_protocol(f"{path}.protocol", port.protocol)
        if port.name and not is_dns_label(port.name):
            message = f'invalid port name: "{port.name}" must be letters, digits and dashes, at most 63'
            yield Finding(f"{path}.name", "bad-name", message)
        if port.target_port and spec.resolution in (None, "NONE"):
            message = "targetPort has no effect when resolution mode is NONE"
            yield Finding(f"{path}.targetPort", "unused-field", message, Severity.WARNING)


def _no_resolution(spec: ServiceEntry) -> Findings:
    if spec.endpoints:
        message = "no endpoints should be provided for resolution type none; write resolution: STATIC or DNS"
        yield Finding("spec.endpoints", "several-matches", message)
    yield from _selector_has_no_effect(spec)


def _static(spec: ServiceEntry) -> Findings:
    names = {port.name for port in spec.ports}
    for index, endpoint in enumerate(spec.endpoints):
        yield from check_workload_entry(endpoint, f"spec.endpoints[{index}]", names, names=False)


def _dns(spec: ServiceEntry) -> Findings:
    if not spec.endpoints:
        for index, host in enumerate(spec.hosts):
            if fqdn_problem(host) is not None:
                message = (
                    f"hosts must be FQDN if no endpoints are provided for resolution mode {spec.resolution}"
                )
                yield Finding(f"spec.hosts[{index}]", "bad-host", message)
    names = {port.name for port in spec.ports}
    for index, endpoint in enumerate(spec.endpoints):
        yield from check_workload_entry(endpoint, f"spec.endpoints[{index}]", names, sockets=False)
    yield from _selector_has_no_effect(spec)
    if spec.addresses and len(spec.hosts) > 1 and any(is_tcp(port.protocol) for port in spec.ports):
        message = (
            "service entry can not have more than one host specified simultaneously with address and tcp port"
        )
        yield Finding("spec.addresses", "several-matches", message, Severity.WARNING)


def _round_robin(spec: ServiceEntry) -> Findings:
    if len(spec.endpoints) > 1:
        message = f"there must only be 0 or 1 endpoint for resolution mode {spec.resolution}"
        yield Finding("spec.endpoints", "bad-length", message)
    yield from _dns(spec)


def _dynamic_dns(spec: ServiceEntry) -> Findings:
    mode = f"resolution mode {spec.resolution}"
    message = "resolving by request is accepted, not simulated: calls go where the client was going"
    yield Finding("spec.resolution", "not-simulated", message, Severity.INFO)
    for index, host in enumerate(spec.hosts):
        if not host.startswith("*."):
            yield Finding(f"spec.hosts[{index}]", "bad-host", f"{mode} needs wildcard hosts such as *.{host}")
    if spec.endpoints:
        yield Finding("spec.endpoints", "several-matches", f"no endpoints should be provided for {mode}")
    if spec.addresses:
        yield Finding("spec.addresses", "several-matches", f"no addresses should be provided for {mode}")
    if spec.location == "MESH_INTERNAL":
        yield Finding("spec.location", "several-matches", f"{mode} is for services outside of the mesh only")
    for index, port in enumerate(spec.ports):
        if port.protocol.upper() not in _DYNAMIC_PROTOCOLS:
            message = f"{mode} takes {', '.join(_DYNAMIC_PROTOCOLS)} only"
            yield Finding(f"spec.ports[{index}].protocol", "bad-value", message)


_RESOLUTIONS = {
    "NONE": _no_resolution,
    "STATIC": _static,
    "DNS": _dns,
    "DNS_ROUND_ROBIN": _round_robin,
    "DYNAMIC_DNS": _dynamic_dns,
}


def _selector_has_no_effect(spec: ServiceEntry) -> Findings:
    if spec.workload_selector is not None:
        mode = spec.resolution or "NONE"
        message = f"workloadSelector should not be set when resolution mode is {mode}"
        yield Finding("spec.workloadSelector", "unused-field", message, Severity.WARNING)


def _several_hosts(spec: ServiceEntry) -> Findings:
    """Plain connections do not say which of several hosts they are for."""
    if spec.resolution in (None, "NONE") or len(spec.hosts) < 2:
        return
    for index, port in enumerate(spec.ports):
        if not is_http(port.protocol) and not is_tls(port.protocol):
            message = (
                "multiple hosts provided with non-HTTP, non-TLS ports; make a ServiceEntry for each host"
            )
            yield Finding(f"spec.ports[{index}].protocol", "several-matches", message)
            return
