"""Load assignments (EDS): the addresses behind each outbound cluster, by locality."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.sharing import Sharing, Unshared
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation.locality_groups import (
    Caller,
    LocalityGroup,
    arranged,
    by_locality,
    effective_setting,
)
from minimesh.control_plane.translation.protobuf_values import endpoint_address, uint32
from minimesh.control_plane.translation.traffic_policies import ClusterPolicy, policy_of_cluster
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import MeshConfig, PushContext
    from minimesh.control_plane.service_registry.services import Endpoint, Service
    from minimesh.control_plane.translation.proxy import Proxy


def build_endpoints(
    proxy: Proxy, push: PushContext, names: Iterable[str], share: Sharing | None = None
) -> Mapping[str, Any]:
    """One ClusterLoadAssignment for each cluster name, sorted; empty for a cluster without endpoints.

    A proxy that asks gets an answer even for a service that is gone: it would else wait for it. `share` gives
    what was made for other proxies: then the assignments must not be changed.
    """
    share = share or Unshared()
    made = {name: _assignment(proxy, push, name, share) for name in sorted(set(names))}
    return _same_mapping(made, proxy, share)


def update_endpoints(
    proxy: Proxy, push: PushContext, before: Mapping[str, Any], hosts: Collection[str], share: Sharing
) -> Mapping[str, Any]:
    """The assignments as `build_endpoints` makes them, where only the endpoints of these hosts are other."""
    names = ((name, resource_names.parse_cluster_name(name)) for name in before)
    touched = [name for name, cluster in names if cluster is not None and cluster.hostname in hosts]
    made = {name: _assignment(proxy, push, name, share) for name in touched}
    return _same_mapping({**before, **made}, proxy, share)


def _same_mapping(made: Mapping[str, Any], proxy: Proxy, share: Sharing) -> Mapping[str, Any]:
    """Namespaces that see all alike have the very same mapping."""
    return share.of(("endpoints by name", *map(id, made.values())), proxy, lambda _seen: made)


def build_load_assignment(
    name: str,
    proxy: Proxy,
    mesh: MeshConfig,
    service: Service,
    endpoints: Iterable[Endpoint],
    policy: ClusterPolicy,
    labels: Mapping[str, str],
) -> Any:
    """Those endpoints of a service whose labels include `labels`, by locality as this proxy sees it."""
    chosen = [
        endpoint
        for endpoint in endpoints
        if all(endpoint.labels.get(key) == value for key, value in labels.items())
    ]
    if service.resolution is Resolution.DNS_ROUND_ROBIN:
        del chosen[1:]  # Envoy refuses more than one name
    groups = by_locality(chosen)
    setting = effective_setting(mesh.locality_lb_setting, policy.load_balancer)
    if setting is not None:
        caller = Caller(proxy.locality, proxy.labels, proxy.network)
        groups = arranged(groups, setting, caller, fails_over=policy.outlier_detection is not None)
    return m.endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name, endpoints=[_locality(group) for group in groups]
    )


def _assignment(proxy: Proxy, push: PushContext, name: str, share: Sharing) -> Any:
    def empty(_seen: Proxy) -> Any:
        return m.endpoint_pb2.ClusterLoadAssignment(cluster_name=name)

    cluster = resource_names.parse_cluster_name(name)
    service = push.service_for(cluster.hostname, proxy.namespace, proxy.namespace) if cluster else None
    port = service.port(cluster.port) if cluster is not None and service is not None else None
    if cluster is None or service is None or port is None:
        return share.lasting(("no assignment", name), (), proxy, empty)
    rule = push.destination_rule(cluster.hostname, proxy.namespace, proxy.labels)
    subset = rule.subset(cluster.subset) if rule is not None and cluster.subset else None
    if cluster.subset and subset is None:
        return share.lasting(("no assignment", name), (), proxy, empty)
    endpoints = push.registry.endpoints(service, port)

    def make(seen: Proxy) -> Any:
        policy = policy_of_cluster(rule, cluster.port, subset)
        labels = subset.labels if subset is not None else {}
        return build_load_assignment(name, seen, push.mesh, service, endpoints, policy, labels)

    inputs = (service, rule, endpoints, push.mesh)
    return share.lasting(("assignment", name), inputs, proxy, make, service.hostname)


def _locality(group: LocalityGroup) -> Any:
    region, zone, sub_zone = group.locality
    return m.endpoint_components_pb2.LocalityLbEndpoints(
        locality=m.base_pb2.Locality(region=region, zone=zone, sub_zone=sub_zone),
        lb_endpoints=[_lb_endpoint(endpoint) for endpoint in group.endpoints],
        load_balancing_weight=uint32(group.weight),
        priority=group.priority,
    )


def _lb_endpoint(endpoint: Endpoint) -> Any:
    message = m.endpoint_components_pb2.LbEndpoint(
        health_status=m.health_check_pb2.HealthStatus.HEALTHY,
        load_balancing_weight=uint32(endpoint.weight or 1),
    )
    message.endpoint.address.CopyFrom(endpoint_address(endpoint.address, endpoint.port))
    if endpoint.workload:
        # Istio's telemetry reads `workload;namespace;canonical name;canonical revision;cluster` here.
        canonical = endpoint.labels.get("app", "")
        revision = endpoint.labels.get("version", "")
        parts = (endpoint.workload, endpoint.namespace, canonical, revision, "Kubernetes")
        message.metadata.filter_metadata["istio"].update({"workload": ";".join(parts)})
    return message
