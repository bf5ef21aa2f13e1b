"""The patches that concern one proxy, with their values as messages, by what they are applied to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minimesh.config.simulated_extensions import extensions_not_simulated
from minimesh.xds.patch_values import PATCHED_MESSAGES, PatchValueError, read_patch_value

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.envoy_filters import ConfigPatch
    from minimesh.control_plane.translation.proxy import Proxy

ANY = "ANY"
GATEWAY = "GATEWAY"
SIDECAR_INBOUND = "SIDECAR_INBOUND"
SIDECAR_OUTBOUND = "SIDECAR_OUTBOUND"

_ROUTE_TARGETS = ("ROUTE_CONFIGURATION", "VIRTUAL_HOST", "HTTP_ROUTE")
_LISTENER_TARGETS = ("LISTENER", "FILTER_CHAIN", "LISTENER_FILTER", "NETWORK_FILTER", "HTTP_FILTER")


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch ready to be made. `value` is a message of what it is applied to; an empty one to remove."""

    written: ConfigPatch
    value: Any

    @property
    def operation(self) -> str:
        return self.written.operation

    def concerns(self, context: str) -> bool:
        return self.written.context in (ANY, context)

    def match(self, kind: str) -> Any | None:
        """`listener`, `route_configuration` or `cluster` of its conditions; None where it has none."""
        return getattr(self.written.match, kind) if self.written.match is not None else None


@dataclass(frozen=True, slots=True)
class ProxyPatches:
    """The patches of one proxy. `outbound` is the context of what it sends on."""

    by_target: Mapping[str, tuple[Patch, ...]]
    outbound: str

    @classmethod
    def of(cls, proxy: Proxy, push: PushContext) -> ProxyPatches:
        found: dict[str, list[Patch]] = {}
        for written in push.envoy_filters.patches(proxy.namespace, proxy.labels, proxy.metadata):
            patch = read_patch(written, for_envoy=proxy.is_envoy)
            if patch is not None:
                found.setdefault(written.apply_to, []).append(patch)
        outbound = GATEWAY if proxy.type == "router" else SIDECAR_OUTBOUND
        return cls({target: tuple(patches) for target, patches in found.items()}, outbound)

    def to(self, target: str) -> tuple[Patch, ...]:
        return self.by_target.get(target, ())

    @property
    def of_routes(self) -> bool:
        return any(target in self.by_target for target in _ROUTE_TARGETS)

    @property
    def of_listeners(self) -> bool:
        return self.of_routes or any(target in self.by_target for target in _LISTENER_TARGETS)


def read_patch(written: ConfigPatch, *, for_envoy: bool) -> Patch | None:
    """The patch with its value as a message; None when this kind of proxy cannot have it."""
    if written.apply_to not in PATCHED_MESSAGES:
        return None
    if not for_envoy and extensions_not_simulated(written.value):
        return None
    value = None if written.operation == "REMOVE" else written.value
    try:
        return Patch(written, read_patch_value(written.apply_to, value))
    except PatchValueError:
        return None
