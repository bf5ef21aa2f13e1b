"""LISTENER, LISTENER_FILTER, FILTER_CHAIN and NETWORK_FILTER patches, and what is inside of their filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.envoy_filters.http_filters import (
    network_filter_name,
    patch_filters,
    same_name,
    sub_filter_name,
)
from minimesh.control_plane.translation.envoy_filters.merge import MERGES, merge_patch, set_list
from minimesh.control_plane.translation.envoy_filters.patches import GATEWAY, SIDECAR_INBOUND
from minimesh.control_plane.translation.envoy_filters.routes import GatewayPorts, patch_route_config
from minimesh.control_plane.translation.network_filters import HTTP_CONNECTION_MANAGER
from minimesh.control_plane.translation.protobuf_values import any_of
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.translation.envoy_filters.patches import Patch, ProxyPatches

_VIRTUAL = (resource_names.VIRTUAL_INBOUND_LISTENER, resource_names.VIRTUAL_OUTBOUND_LISTENER)


def patch_listeners(listeners: list[Any], patches: ProxyPatches) -> list[Any]:
    """The listeners with all patches made that concern them or what is inside of them."""
    if not patches.of_listeners:
        return listeners
    kept = [listener for listener in listeners if not _is_removed(listener, patches)]
    for listener in kept:
        _patch_listener(listener, patches)
    taken = {listener.name for listener in kept}
    contexts = (patches.outbound,) if patches.outbound == GATEWAY else (patches.outbound, SIDECAR_INBOUND)
    for patch in patches.to("LISTENER"):
        if patch.operation == "ADD" and any(patch.concerns(context) for context in contexts):
            if patch.value.name not in taken:
                kept.append(patch.value)
            taken.add(patch.value.name)
    return kept


def _context_of(listener: Any, patches: ProxyPatches) -> str:
    inbound = listener.name == resource_names.VIRTUAL_INBOUND_LISTENER
    return SIDECAR_INBOUND if inbound else patches.outbound


def _concerning(listener: Any, target: str, patches: ProxyPatches) -> list[Patch]:
    context = _context_of(listener, patches)
    return [p for p in patches.to(target) if p.concerns(context) and _fits_listener(listener, p)]


def _is_removed(listener: Any, patches: ProxyPatches) -> bool:
    return any(p.operation == "REMOVE" for p in _concerning(listener, "LISTENER", patches))


def _fits_listener(listener: Any, patch: Patch) -> bool:
    match = patch.match("listener")
    if match is None:
        return True
    if match.name not in ("", listener.name):
        return False
    # The two virtual listeners serve every port: there it chooses between filter chains.
    port = 0 if listener.name in _VIRTUAL else match.port_number
    if port and listener.address.socket_address.port_value != port:
        return False
    # For LISTENER_FILTER the name tells where a new one goes; elsewhere it tells which listener is meant.
    by_filter = match.listener_filter and patch.written.apply_to != "LISTENER_FILTER"
    return not by_filter or any(f.name == match.listener_filter for f in listener.listener_filters)


def _patch_listener(listener: Any, patches: ProxyPatches) -> None:
    for patch in _concerning(listener, "LISTENER", patches):
        if patch.operation in MERGES:
            merge_patch(listener, patch)
    listener_filters = _concerning(listener, "LISTENER_FILTER", patches)
    if listener_filters:
        patch_filters(listener.listener_filters, listener_filters, _listener_filter_name)
    _patch_chains(listener, _concerning(listener, "FILTER_CHAIN", patches))
    network = _concerning(listener, "NETWORK_FILTER", patches)
    http = _concerning(listener, "HTTP_FILTER", patches)
    inbound_routes = (
        patches if patches.of_routes and _context_of(listener, patches) == SIDECAR_INBOUND else None
    )
    if not network and not http and inbound_routes is None:
        return
    for chain in _chains(listener):
        _patch_http(chain, [p for p in http if _fits_chain(chain, p)], inbound_routes)
        here = [p for p in network if _fits_chain(chain, p)]
        if here:
            patch_filters(chain.filters, here, network_filter_name)


def _chains(listener: Any) -> list[Any]:
    default = [listener.default_filter_chain] if listener.HasField("default_filter_chain") else []
    return [*listener.filter_chains, *default]


def _listener_filter_name(patch: Patch) -> str:
    match = patch.match("listener")
    return str(match.listener_filter) if match is not None else ""


def _patch_chains(listener: Any, patches: list[Patch]) -> None:
    if not patches:
        return
    removed = [p for p in patches if p.operation == "REMOVE"]
    if any(_fits_chain(listener.default_filter_chain, p) for p in removed):
        listener.ClearField("default_filter_chain")
    kept = [c for c in listener.filter_chains if not any(_fits_chain(c, p) for p in removed)]
    if len(kept) != len(listener.filter_chains):
        set_list(listener.filter_chains, kept)
    for chain in _chains(listener):
        for patch in patches:
            if patch.operation in MERGES and _fits_chain(chain, patch):
                merge_patch(chain, patch)
    listener.filter_chains.extend(p.value for p in patches if p.operation == "ADD")


def _fits_chain(chain: Any, patch: Patch) -> bool:
    """Whether a filter chain is as a patch wants it. A network filter is part of that for patches to chains
    and to HTTP filters; for a NETWORK_FILTER it tells where in the chain it goes."""
    match = patch.match("listener")
    if match is None:
        return True
    conditions = chain.filter_chain_match
    port = conditions.destination_port.value if conditions.HasField("destination_port") else 0
    if match.port_number and port and match.port_number != port:
        return False
    wanted = match.filter_chain
    if wanted is None:
        return True
    protocols = [each for each in wanted.application_protocols.split(",") if each]
    return (
        wanted.name in ("", chain.name)
        and (not wanted.sni or wanted.sni in conditions.server_names)
        and wanted.transport_protocol in ("", conditions.transport_protocol)
        and all(each in conditions.application_protocols for each in protocols)
        and wanted.destination_port in (0, port)
        and _has_wanted_filter(chain, patch)
    )


def _has_wanted_filter(chain: Any, patch: Patch) -> bool:
    wanted = network_filter_name(patch)
    if not wanted or patch.written.apply_to == "NETWORK_FILTER":
        return True
    return any(same_name(wanted, each.name) for each in chain.filters)


def _patch_http(chain: Any, patches: list[Patch], routes: ProxyPatches | None) -> None:
    if not patches and routes is None:
        return
    for network_filter in chain.filters:
        if network_filter.name != HTTP_CONNECTION_MANAGER:
            continue
        manager = m.http_connection_manager_pb2.HttpConnectionManager()
        network_filter.typed_config.Unpack(manager)
        if patches:
            patch_filters(manager.http_filters, patches, sub_filter_name)
        if routes is not None and manager.HasField("route_config"):
            patch_route_config(manager.route_config, routes, SIDECAR_INBOUND, GatewayPorts())
        network_filter.typed_config.CopyFrom(any_of(manager))
