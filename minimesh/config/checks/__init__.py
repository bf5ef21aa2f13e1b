"""Rules that types cannot say: what the API server and Istio's webhook refuse in a well-typed resource.

Each rule reads one resource and yields findings by field path. Knows nothing about YAML, nor about other
resources (for these see `references`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minimesh.config.checks.annotations import check_dry_run
from minimesh.config.checks.destination_rule import check_destination_rule
from minimesh.config.checks.finding import Findings
from minimesh.config.checks.gateway import check_gateway
from minimesh.config.checks.metadata import check_metadata as check_metadata
from minimesh.config.checks.policies import check_envoy_filter, check_extension, check_proxy_config
from minimesh.config.checks.security import (
    check_authorization_policy,
    check_peer_authentication,
    check_request_authentication,
)
from minimesh.config.checks.selectors import check_export_to
from minimesh.config.checks.service_entry import check_service_entry
from minimesh.config.checks.sidecar import check_sidecar
from minimesh.config.checks.telemetry import check_telemetry
from minimesh.config.checks.virtual_service import check_virtual_service
from minimesh.config.checks.workload_entry import check_workload_entry, check_workload_group
from minimesh.config.checks.workloads import check_deployment, check_pod, check_service

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


def check_resource(resource: Resource) -> Findings:
    """The rules of the resource's kind."""
    rules = _RULES.get(resource.kind)
    if rules is None:
        return
    yield from rules(resource.spec)
    if "istio.io/" in resource.api_version:
        yield from check_dry_run(resource)
    if resource.kind in ("VirtualService", "DestinationRule", "ServiceEntry"):
        nobody = resource.kind == "ServiceEntry"
        yield from check_export_to(resource.namespace, resource.spec.export_to, nobody=nobody)


_RULES: dict[str, Callable[[Any], Findings]] = {
    "Service": check_service,
    "Deployment": check_deployment,
    "Pod": lambda spec: check_pod("spec", spec),
    "Gateway": check_gateway,
    "VirtualService": check_virtual_service,
    "DestinationRule": check_destination_rule,
    "ServiceEntry": check_service_entry,
    "Sidecar": check_sidecar,
    "WorkloadEntry": check_workload_entry,
    "WorkloadGroup": check_workload_group,
    "Telemetry": check_telemetry,
    "AuthorizationPolicy": check_authorization_policy,
    "PeerAuthentication": check_peer_authentication,
    "RequestAuthentication": check_request_authentication,
    "EnvoyFilter": check_envoy_filter,
    "ProxyConfig": check_proxy_config,
    "WasmPlugin": check_extension,
    "TrafficExtension": check_extension,
}
