"""Clusters (CDS): outbound ones for every service port and subset, inbound ones for the proxy's own ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.service_entry import UNIX_PREFIX
from minimesh.control_plane.push_context.sharing import Sharing, Unshared
from minimesh.control_plane.service_registry.protocols import Protocol
from minimesh.control_plane.service_registry.services import Resolution
from minimesh.control_plane.translation import named_destinations
from minimesh.control_plane.translation.endpoints import build_load_assignment
from minimesh.control_plane.translation.inbound_ports import InboundPort, inbound_ports
from minimesh.control_plane.translation.layers import Layers
from minimesh.control_plane.translation.locality_groups import effective_setting
from minimesh.control_plane.translation.pod_addresses import from_pod_address
from minimesh.control_plane.translation.protobuf_values import ads, config_path, duration, endpoint_address
from minimesh.control_plane.translation.sni_clusters import sni_clusters
from minimesh.control_plane.translation.traffic_policies import (
    apply_connection_pool,
    apply_keepalive,
    apply_policy,
    policy_of_cluster,
)
from minimesh.control_plane.translation.upstream_tls import apply_upstream_tls, with_expected_names
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from minimesh.config.istio.destination_rule import Subset
    from minimesh.control_plane.push_context import MeshConfig, PushContext
    from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig
    from minimesh.control_plane.service_registry.services import Endpoint, Service, ServicePort
    from minimesh.control_plane.translation.proxy import Proxy


_ASK_DNS = (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


def build_clusters(proxy: Proxy, push: PushContext, share: Sharing | None = None) -> Layers:
    """All clusters of a proxy. Of two with one name the first (older service) stays.

    `share` gives what was made for other proxies: then the clusters must not be changed.
    """
    share = share or Unshared()
    outbound = share.of("outbound clusters", proxy, lambda seen: _leading_out(seen, push, share))
    inbound = {each.name: each for each in _inbound(proxy, push)}
    if proxy.addresses is None:
        return Layers(outbound, inbound)
    moved = from_pod_address([*outbound.values(), *inbound.values()], proxy.addresses)
    return Layers({}, {each.name: each for each in moved})


def _leading_out(proxy: Proxy, push: PushContext, share: Sharing) -> Mapping[str, Any]:
    outbound = [*_outbound(proxy, push, share)]
    found: dict[str, Any] = {}
    for cluster in (*outbound, *sni_clusters(proxy, push, outbound), *_fixed(proxy, push, share)):
        found.setdefault(cluster.name, cluster)
    # Namespaces that see all alike, and pushes that change none, have the very same mapping.
    return share.lasting("clusters by name", tuple(found.values()), proxy, lambda _seen: found)


def eds_cluster_names(clusters: Iterable[Any]) -> list[str]:
    """The clusters whose endpoints come by EDS."""
    return [cluster.name for cluster in clusters if cluster.type == cluster.EDS]


def _outbound(proxy: Proxy, push: PushContext, share: Sharing) -> Iterator[Any]:
    if proxy.type == "router":
        scope = push.default_scope(proxy.namespace)
    else:
        scope = push.sidecar_scope(proxy.namespace, proxy.labels)
    for service in scope.services:
        if service.resolution is Resolution.ALIAS:
            continue
        rule = push.destination_rule(service.hostname, proxy.namespace, proxy.labels)
        for port in service.ports:
            if port.protocol is not Protocol.UDP:
                yield from _service_port_clusters(proxy, push, service, port, rule, share)


def _service_port_clusters(
    proxy: Proxy,
    push: PushContext,
    service: Service,
    port: ServicePort,
    rule: DestinationRuleConfig | None,
    share: Sharing,
) -> Sequence[Any]:
    """The cluster of a service port, then one for each subset of its DestinationRule."""
    asks_dns = service.resolution in _ASK_DNS
    endpoints = push.registry.endpoints(service, port) if asks_dns else ()

    def make(seen: Proxy) -> Sequence[Any]:
        subsets = (None, *(rule.subsets if rule is not None else ()))
        made = [_outbound_cluster(seen, push.mesh, service, port, endpoints, rule, each) for each in subsets]
        # Nothing to resolve is what Envoy refuses; istiod leaves it out too.
        return [each for each in made if not asks_dns or each.load_assignment.endpoints]

    inputs = (service, port, endpoints, rule, push.mesh)
    return share.lasting("clusters", inputs, proxy, make)


def _outbound_cluster(
    proxy: Proxy,
    mesh: MeshConfig,
    service: Service,
    port: ServicePort,
    endpoints: Sequence[Endpoint],
    rule: DestinationRuleConfig | None,
    subset: Subset | None,
) -> Any:
    """`endpoints` are those whose addresses DNS is asked for."""
    policy = policy_of_cluster(rule, port.port, subset)
    subset_name = subset.name if subset is not None else ""
    name = resource_names.outbound(port.port, service.hostname, subset_name)
    cluster = _cluster(name, mesh)
    _set_discovery(cluster, service)
    if service.resolution in _ASK_DNS:
        labels = subset.labels if subset is not None else {}
        assignment = build_load_assignment(name, proxy, mesh, service, endpoints, policy, labels)
        _ask_dns(cluster, assignment, mesh)
    locality = effective_setting(mesh.locality_lb_setting, policy.load_balancer)
    apply_policy(
        cluster,
        policy,
        port.protocol,
        locality,
        sniffs=proxy.type == "sidecar",
        upgrades=mesh.upgrades_to_http2,
    )
    selected = rule is not None and bool(rule.workload_labels)
    tls = with_expected_names(policy.tls, service.subject_alt_names)
    apply_upstream_tls(cluster, tls, fetches_credentials=proxy.type == "router" or selected)
    if cluster.type == cluster.EDS:
        cluster.eds_cluster_config.service_name = name
        cluster.eds_cluster_config.eds_config.CopyFrom(ads())
    cluster.metadata.filter_metadata["istio"].update(_origin(service, port, rule, subset_name))
    return cluster


def _origin(
    service: Service, port: ServicePort, rule: DestinationRuleConfig | None, subset: str
) -> dict[str, Any]:
    """What a cluster was made from, in Istio's metadata."""
    found: dict[str, Any] = {"services": _service_metadata([service]), "default_original_port": port.port}
    if rule is not None:
        found["config"] = config_path(rule.resource)
    if subset:
        found["subset"] = subset
    if service.external:
        found["external"] = True
    return found


def _ask_dns(cluster: Any, assignment: Any, mesh: MeshConfig) -> None:
    cluster.load_assignment.CopyFrom(assignment)
    cluster.dns_lookup_family = cluster.V4_ONLY
    cluster.respect_dns_ttl = True
    cluster.dns_refresh_rate.CopyFrom(duration(mesh.dns_refresh_rate_s))


def _set_discovery(cluster: Any, service: Service) -> None:
    """A headless service's endpoints come by EDS like any other's.

    istiod lets sidecars go to the original destination instead. Without redirection in the network the
    original destination of a call is the proxy itself, so that this would be a loop.
    """
    if service.resolution is Resolution.DNS:
        cluster.type = cluster.STRICT_DNS
    elif service.resolution is Resolution.DNS_ROUND_ROBIN:
        cluster.type = cluster.LOGICAL_DNS
    elif service.resolution is Resolution.PASSTHROUGH and not service.kubernetes:
        cluster.type = cluster.ORIGINAL_DST
    else:
        cluster.type = cluster.EDS


def _cluster(name: str, mesh: MeshConfig) -> Any:
    cluster = m.cluster_pb2.Cluster(name=name, connect_timeout=duration(mesh.connect_timeout_s))
    cluster.common_lb_config.SetInParent()
    if mesh.tcp_keepalive is not None:
        apply_keepalive(cluster, mesh.tcp_keepalive)
    return cluster


def _service_metadata(services: Sequence[Service]) -> list[dict[str, str]]:
    return [{"host": s.hostname, "name": s.name, "namespace": s.namespace} for s in services]


def _inbound(proxy: Proxy, push: PushContext) -> Iterator[Any]:
    """`inbound|5000||` for each container port behind a service port."""
    if proxy.type != "sidecar":
        return
    for port in inbound_ports(proxy, push):
        yield _inbound_cluster(proxy, push, port)


def _inbound_cluster(proxy: Proxy, push: PushContext, port: InboundPort) -> Any:
    """The application itself: at the address only its sidecar uses, at the port it really listens on."""
    cluster = _cluster(resource_names.inbound(port.number), push.mesh)
    cluster.type = cluster.STATIC
    assignment = cluster.load_assignment
    assignment.cluster_name = cluster.name
    endpoint = assignment.endpoints.add().lb_endpoints.add().endpoint
    endpoint.address.CopyFrom(endpoint_address(port.host, port.host_port))
    pool = port.connection_pool
    if pool is None:
        rule = push.destination_rule(port.hostname, proxy.namespace, proxy.labels)
        pool = policy_of_cluster(rule, port.service_port, None).connection_pool
    apply_connection_pool(cluster, pool, port.protocol, sniffs=True)
    if port.services:
        istio = {"services": _service_metadata(port.services)}
        cluster.metadata.filter_metadata["istio"].update(istio)
    if not port.host.startswith(UNIX_PREFIX):
        _bind_to_inbound_source(cluster, push.mesh)
    return cluster


def _bind_to_inbound_source(cluster: Any, mesh: MeshConfig) -> None:
    """Calls to the own application come from 127.0.0.6, by which redirection in the network knows them."""
    if mesh.inbound_source_address:
        cluster.upstream_bind_config.source_address.address = mesh.inbound_source_address
        cluster.upstream_bind_config.source_address.port_value = 0


def _fixed(proxy: Proxy, push: PushContext, share: Sharing) -> Sequence[Any]:
    """The clusters that do not depend on configuration: nowhere, and wherever the client wanted to go."""
    by_name = named_destinations.is_wanted(proxy, push)
    part = ("fixed clusters", by_name)
    return share.lasting(part, (push.mesh,), proxy, lambda seen: [*_make_fixed(seen, push.mesh, by_name)])


def _make_fixed(proxy: Proxy, mesh: MeshConfig, by_name: bool) -> Iterator[Any]:
    black_hole = _cluster(resource_names.BLACK_HOLE_CLUSTER, mesh)
    black_hole.type = black_hole.STATIC
    black_hole.ClearField("common_lb_config")
    yield black_hole
    if proxy.type != "sidecar":
        return
    yield _passthrough(resource_names.PASSTHROUGH_CLUSTER, mesh)
    if by_name:
        yield named_destinations.by_name_cluster(mesh.connect_timeout_s)
    inbound = _passthrough(resource_names.INBOUND_PASSTHROUGH_CLUSTER, mesh)
    _bind_to_inbound_source(inbound, mesh)
    yield inbound


def _passthrough(name: str, mesh: MeshConfig) -> Any:
    cluster = _cluster(name, mesh)
    cluster.ClearField("common_lb_config")
    cluster.type = cluster.ORIGINAL_DST
    cluster.lb_policy = cluster.CLUSTER_PROVIDED
    apply_connection_pool(cluster, None)
    return cluster
