"""Rules that types cannot say: what the API server and Istio's webhook refuse in a well-typed resource.

Each rule reads one resource and yields findings by field path. Knows nothing about YAML, nor about other
resources (for these see `references`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from minimesh.config.checks.destination_rule import check_destination_rule, check_service_entry
from minimesh.config.checks.finding import Findings
from minimesh.config.checks.gateway import check_gateway
from minimesh.config.checks.metadata import check_metadata as check_metadata
from minimesh.config.checks.virtual_service import check_virtual_service
from minimesh.config.checks.workloads import check_deployment, check_pod, check_service

if TYPE_CHECKING:
    from minimesh.config.resources import Resource


def check_resource(resource: Resource) -> Findings:
    """The rules of the resource's kind."""
    rules = _RULES.get(resource.kind)
    return rules(resource.spec) if rules is not None else iter(())


_RULES: dict[str, Callable[[Any], Findings]] = {
    "Service": check_service,
    "Deployment": check_deployment,
    "Pod": lambda spec: check_pod("spec", spec),
    "Gateway": check_gateway,
    "VirtualService": check_virtual_service,
    "DestinationRule": check_destination_rule,
    "ServiceEntry": check_service_entry,
}
