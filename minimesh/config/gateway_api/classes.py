"""Which Gateways of the Gateway API are Istio's to serve, and which of them get pods of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.config.kinds import KUBERNETES_GATEWAY
from minimesh.config.resources import ResourceKey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minimesh.config.resources import Resource
    from minimesh.config.store import Snapshot

CONTROLLER_NAME = "istio.io/gateway-controller"
BUILT_IN_CLASS = "istio"
"""The class that is there without any GatewayClass object."""
NAME_OVERRIDE = "gateway.istio.io/name-override"
SERVICE_ACCOUNT_OVERRIDE = "gateway.istio.io/service-account"


def istio_gateways(snapshot: Snapshot) -> Iterator[Resource]:
    """The Gateways whose class is one of Istio's."""
    for gateway in snapshot.by_kind(KUBERNETES_GATEWAY):
        name = gateway.spec.gateway_class_name
        class_: Any = snapshot.get(ResourceKey("GatewayClass", "", name))
        if class_ is not None:
            if class_.spec.controller_name == CONTROLLER_NAME:
                yield gateway
        elif name == BUILT_IN_CLASS:
            yield gateway


def is_deployed(gateway: Resource) -> bool:
    """Whether pods of its own are made for a Gateway: it does not name a service that is there already.

    One IP address is a wish for where its own service should be.
    """
    addresses = gateway.spec.addresses
    return not addresses or (len(addresses) == 1 and (addresses[0].type or "IPAddress") == "IPAddress")


def deployed_name(gateway: Resource) -> str:
    """The name of the Deployment and Service that are made for a Gateway."""
    override = gateway.metadata.annotations.get(NAME_OVERRIDE)
    return override or f"{gateway.name}-{gateway.spec.gateway_class_name}"


def service_account(gateway: Resource) -> str:
    """The ServiceAccount under which the pods of a Gateway run."""
    return gateway.metadata.annotations.get(SERVICE_ACCOUNT_OVERRIDE) or deployed_name(gateway)
