"""Where routes of the Gateway API lead: backendRefs as Istio's destinations, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.traffic import Destination, PortSelector
from minimesh.control_plane.gateway_api.conditions import Fault
from minimesh.control_plane.gateway_api.world import group_of

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.gateway_api.grants import Grants
    from minimesh.control_plane.gateway_api.world import World

_ISTIO = "networking.istio.io"
_MULTICLUSTER = "multicluster.x-k8s.io"


@dataclass(slots=True)
class Backends:
    """Finds the destinations of one route, and keeps what was wrong: the last of the worst.

    A backend that is not there is routed to all the same, and answers 500; so does one that may not be.
    """

    route: Resource
    world: World
    grants: Grants
    checks_grants: bool = True
    """Whether references into other namespaces need a grant: not so for callers inside the mesh."""
    fault: Fault | None = field(default=None)

    def destination(self, reference: Any) -> Destination:
        """Where a reference leads; a destination without host where it leads nowhere."""
        found = self._resolved(reference)
        if isinstance(found, Fault):
            self.fault = found
            return Destination()
        if self.world.service(found) is None:
            self.fault = Fault("BackendNotFound", f"backend({found}) not found")
        return Destination(host=found, port=PortSelector(number=reference.port))

    def _resolved(self, reference: Any) -> str | Fault:
        group, kind = group_of(reference, ""), reference.kind or "Service"
        namespace = reference.namespace or self.route.namespace
        if (group, kind) == (_ISTIO, "Hostname"):
            return self._external(reference)
        if (group, kind) not in (("", "Service"), (_MULTICLUSTER, "ServiceImport")):
            return Fault("InvalidKind", f'referencing unsupported backendRef: group "{group}" kind "{kind}"')
        qualified = f"{kind}.{group}" if group else kind
        route = self.route
        allowed = self.grants.allow(route.kind, route.namespace, qualified, namespace, reference.name)
        if self.checks_grants and not allowed:
            return Fault(
                "RefNotPermitted",
                f"backendRef {reference.name}/{namespace} not accessible to a {route.kind} in namespace "
                f'"{route.namespace}" (missing a ReferenceGrant?)',
            )
        if reference.port is None:
            return Fault("UnsupportedValue", "port is required in backendRef")
        if "." in reference.name:
            why = "service name invalid; the name of the Service must be used, not the hostname."
            return Fault("UnsupportedValue", why)
        return self.world.service_host(reference.name, namespace)

    def _external(self, reference: Any) -> str | Fault:
        """A host that a ServiceEntry declares."""
        if reference.namespace is not None:
            return Fault("UnsupportedValue", "namespace may not be set with Hostname type")
        if reference.port is None:
            return Fault("UnsupportedValue", "port is required in backendRef")
        return str(reference.name)


def weighted(references: Iterable[Any]) -> Sequence[tuple[Any, int]]:
    """The references that get a share, with it; one that gets everything has none."""
    shares = [(each, each.weight if each.weight is not None else 1) for each in references]
    found = [(each, share) for each, share in shares if share > 0]
    return [(each, 0) for each, _ in found] if len(found) == 1 else found
