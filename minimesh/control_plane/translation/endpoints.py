"""Load assignments (EDS): the addresses behind each outbound cluster, by locality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation.locality_groups import (
    Caller,
    LocalityGroup,
    arranged,
    by_locality,
    effective_setting,
)
from minimesh.control_plane.translation.protobuf_values import endpoint_address, uint32
from minimesh.control_plane.translation.traffic_policies import TrafficPolicy, policy_of_cluster
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.service_registry.services import Endpoint, Service, ServicePort
    from minimesh.control_plane.translation.proxy import Proxy


def build_endpoints(proxy: Proxy, push: PushContext, names: Iterable[str]) -> list[Any]:
    """One ClusterLoadAssignment for each cluster name, sorted; empty for a cluster without endpoints.

    A proxy that asks gets an answer even for a service that is gone: it would else wait for it.
    """
    return [_assignment(proxy, push, name) for name in sorted(set(names))]


def build_load_assignment(
    name: str,
    proxy: Proxy,
    push: PushContext,
    service: Service,
    port: ServicePort,
    policy: TrafficPolicy,
    labels: Mapping[str, str],
) -> Any:
    """The endpoints of a service port whose labels include `labels`, by locality as this proxy sees it."""
    chosen = [
        endpoint
        for endpoint in push.registry.endpoints(service, port)
        if all(endpoint.labels.get(key) == value for key, value in labels.items())
    ]
    if service.resolution is Resolution.DNS_ROUND_ROBIN:
        del chosen[1:]  # Envoy refuses more than one name
    groups = arranged(
        by_locality(chosen),
        effective_setting(push.mesh.locality_lb_setting, policy.load_balancer),
        Caller(proxy.locality, proxy.labels, proxy.network),
        fails_over=policy.outlier_detection is not None,
    )
    return m.endpoint_pb2.ClusterLoadAssignment(
        cluster_name=name, endpoints=[_locality(group) for group in groups]
    )


def _assignment(proxy: Proxy, push: PushContext, name: str) -> Any:
    empty = m.endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    cluster = resource_names.parse_cluster_name(name)
    if cluster is None:
        return empty
    service = push.service_for(cluster.hostname, proxy.namespace, proxy.namespace)
    port = service.port(cluster.port) if service is not None else None
    if service is None or port is None:
        return empty
    rule = push.destination_rule(cluster.hostname, proxy.namespace, proxy.labels)
    subset = rule.subset(cluster.subset) if rule is not None and cluster.subset else None
    if cluster.subset and subset is None:
        return empty
    policy = policy_of_cluster(rule, cluster.port, subset)
    labels = subset.labels if subset is not None else {}
    return build_load_assignment(name, proxy, push, service, port, policy, labels)


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
