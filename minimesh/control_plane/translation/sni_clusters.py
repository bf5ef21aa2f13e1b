"""Clusters of a gateway that passes TLS on by the cluster's name in the hello (AUTO_PASSTHROUGH).

`outbound_.80_.v2_.reviews.default.svc.cluster.local` has the hosts of `outbound|80|v2|reviews...` and takes
bytes as they are: whoever called has encrypted them for the workload behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation.proxy import container_ports
from minimesh.xds import messages as m
from minimesh.xds.resource_names import ClusterName, TrafficDirection, parse_cluster_name

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy


def sni_cluster_names(proxy: Proxy, push: PushContext) -> Iterator[ClusterName]:
    """Every port and subset of the services inside the mesh that the proxy may call."""
    for service in push.default_scope(proxy.namespace).services:
        if service.external or service.resolution is Resolution.ALIAS:
            continue
        rule = push.destination_rule(service.hostname, proxy.namespace, proxy.labels)
        subsets = [subset.name for subset in rule.subsets] if rule is not None else []
        for port in service.ports:
            if port.protocol is not Protocol.UDP:
                for subset in ("", *subsets):
                    yield ClusterName(TrafficDirection.OUTBOUND, port.port, subset, service.hostname)


def sni_clusters(proxy: Proxy, push: PushContext, outbound: Iterable[Any]) -> Iterator[Any]:
    """Those of the outbound clusters that are reached by server name too, under that name."""
    if proxy.type != "router" or not _passes_on(proxy, push):
        return
    wanted = set(sni_cluster_names(proxy, push))
    for cluster in outbound:
        name = parse_cluster_name(cluster.name)
        if name not in wanted or name is None:
            continue
        copy = m.cluster_pb2.Cluster()
        copy.CopyFrom(cluster)
        copy.name = name.sni()
        copy.ClearField("transport_socket")
        if copy.HasField("eds_cluster_config"):
            copy.eds_cluster_config.service_name = copy.name
        if copy.HasField("load_assignment"):
            copy.load_assignment.cluster_name = copy.name
        yield copy


def _passes_on(proxy: Proxy, push: PushContext) -> bool:
    merged = push.merged_gateway(proxy.namespace, proxy.labels, container_ports(proxy, push))
    return any(str(s.tls.mode) == "AUTO_PASSTHROUGH" for group in merged.tls_servers.values() for s in group)
