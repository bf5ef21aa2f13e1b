"""CLUSTER patches: merged into the clusters they name, removed, or added."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.envoy_filters.merge import MERGES, merge_patch
from minimesh.control_plane.translation.envoy_filters.patches import SIDECAR_INBOUND
from minimesh.control_plane.translation.proxy import service_targets
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.envoy_filters.patches import Patch, ProxyPatches
    from minimesh.control_plane.translation.proxy import Proxy

_INBOUND = ("inbound|", resource_names.INBOUND_PASSTHROUGH_CLUSTER)


def patch_clusters(clusters: list[Any], patches: ProxyPatches, proxy: Proxy, push: PushContext) -> list[Any]:
    """The clusters with all CLUSTER patches made."""
    wanted = patches.to("CLUSTER")
    if not wanted:
        return clusters
    own_hosts = {target.service.hostname for target in service_targets(proxy, push)}
    kept = [c for c in clusters if not _is_removed(c, wanted, patches.outbound, own_hosts)]
    for cluster in kept:
        for patch in wanted:
            if patch.operation in MERGES and _fits(cluster, patch, patches.outbound, own_hosts):
                merge_patch(cluster, patch)
    taken = {cluster.name for cluster in kept}
    contexts = (patches.outbound, SIDECAR_INBOUND) if proxy.type == "sidecar" else (patches.outbound,)
    for patch in wanted:
        if patch.operation == "ADD" and any(patch.concerns(c) for c in contexts):
            if patch.value.name not in taken:
                kept.append(patch.value)
            taken.add(patch.value.name)
    return kept


def _is_removed(cluster: Any, patches: Collection[Patch], outbound: str, own_hosts: Collection[str]) -> bool:
    return any(p.operation == "REMOVE" and _fits(cluster, p, outbound, own_hosts) for p in patches)


def _fits(cluster: Any, patch: Patch, outbound: str, own_hosts: Collection[str]) -> bool:
    context = SIDECAR_INBOUND if cluster.name.startswith(_INBOUND) else outbound
    if not patch.concerns(context):
        return False
    match = patch.match("cluster")
    if match is None:
        return True
    if match.name:
        return bool(match.name == cluster.name)
    name = resource_names.parse_cluster_name(cluster.name)
    if name is None:
        return not (match.subset or match.service or match.port_number)
    hosts = [name.hostname] if name.hostname else own_hosts
    return (
        match.subset in ("", name.subset)
        and (not match.service or match.service in hosts)
        and match.port_number in (0, name.port)
    )
