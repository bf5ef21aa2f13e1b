"""Rules that types cannot say: what the API server and Istio's webhook refuse in a well-typed resource.

Each rule reads one resource and yields findings by field path. Knows nothing about YAML, nor about other
resources (for these see `references`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from minimesh.config.checks.metadata import check_metadata as check_metadata

if TYPE_CHECKING:
    from minimesh.config.checks.finding import Findings
    from minimesh.config.resources import Resource


def check_resource(resource: Resource) -> Findings:
    """The rules of the resource's kind, then those that all of Istio's kinds have."""
    place = _RULES.get(resource.kind)
    if place is None:
        return
    yield from _load(place)(resource.spec)
    if "istio.io/" in resource.api_version and resource.metadata.annotations:
        yield from _load("annotations:check_dry_run")(resource)
    if resource.kind in ("VirtualService", "DestinationRule", "ServiceEntry") and resource.spec.export_to:
        nobody = resource.kind == "ServiceEntry"
        yield from _load("selectors:check_export_to")(
            resource.namespace, resource.spec.export_to, nobody=nobody
        )


@functools.cache
def _load(place: str) -> Callable[..., Findings]:
    """A rule by its module and name; few labs have all kinds, and importing all would slow every start."""
    module, _, name = place.partition(":")
    found: Any = getattr(import_module(f"{__name__}.{module}"), name)
    return found  # type: ignore[no-any-return]


_RULES = {
    "Service": "workloads:check_service",
    "Deployment": "workloads:check_deployment",
    "Pod": "workloads:check_pod_spec",
    "Gateway": "gateway:check_gateway",
    "VirtualService": "virtual_service:check_virtual_service",
    "DestinationRule": "destination_rule:check_destination_rule",
    "ServiceEntry": "service_entry:check_service_entry",
    "Sidecar": "sidecar:check_sidecar",
    "WorkloadEntry": "workload_entry:check_workload_entry",
    "WorkloadGroup": "workload_entry:check_workload_group",
    "Telemetry": "telemetry:check_telemetry",
    "AuthorizationPolicy": "security:check_authorization_policy",
    "PeerAuthentication": "security:check_peer_authentication",
    "RequestAuthentication": "security:check_request_authentication",
    "EnvoyFilter": "policies:check_envoy_filter",
    "ProxyConfig": "policies:check_proxy_config",
    "WasmPlugin": "policies:check_extension",
    "TrafficExtension": "policies:check_extension",
}
"""Kind -> the module and the function of its rules."""
