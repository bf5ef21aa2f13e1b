"""Which document made a piece of a proxy's configuration: from metadata and names back to the source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from minimesh.explain.ladder import NO_ORIGIN, Origin
from minimesh.xds.resource_names import parse_cluster_name

if TYPE_CHECKING:
    from minimesh.config.resources import Resource
    from minimesh.control_plane.push_context.gateways import GatewayServer, MergedGateway
    from minimesh.data_plane.routing.route_table import Route
    from minimesh.explain.world import Pod, World


def metadata_of(metadata: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    """One namespace of filter metadata."""
    found = metadata.get(namespace)
    return found if isinstance(found, Mapping) else {}


def documents_of(resource: Resource) -> str:
    """The documents that say what a resource says: itself, or those that it was made of."""
    made_of = resource.made_of
    written = [each for each, _ in made_of.values()] if made_of is not None else [resource]
    return ", ".join(dict.fromkeys(str(each.key) for each in written))


def route_resource(world: World, route: Route) -> Resource | None:
    """The VirtualService that a route is written in; None for one that the control plane made by itself."""
    written_in = str(metadata_of(route.metadata, "minimesh").get("resource", ""))
    if written_in:
        namespace, _, name = written_in.partition("/")
        return world.resource("VirtualService", namespace, name)
    return world.origin(str(metadata_of(route.metadata, "istio").get("config", "")))


def route_field(route: Route) -> str:
    """`spec.http[0].match[1]`, as the translation noted it."""
    return str(metadata_of(route.metadata, "minimesh").get("field", ""))


def route_origin(world: World, route: Route) -> Origin:
    """Where exactly a route is written."""
    resource = route_resource(world, route)
    return _patch_origin(world, route) if resource is None else Origin.of(resource, route_field(route))


def _patch_origin(world: World, route: Route) -> Origin:
    """The patch of an EnvoyFilter that inserts or names such a route."""
    for resource in world.snapshot.by_kind("EnvoyFilter") if route.name else ():
        spec: Any = resource.spec
        for index, each in enumerate(spec.config_patches):
            value = each.patch.value if each.patch is not None else None
            if isinstance(value, Mapping) and value.get("name") == route.name:
                return Origin.of(resource, f"spec.configPatches[{index}]")
    return NO_ORIGIN


def merged_gateway(world: World, pod: Pod) -> MergedGateway | None:
    """The Gateways of a gateway's pod, as its translation merged them."""
    proxy = pod.proxy
    if proxy is None or proxy.type != "router":
        return None
    return world.push.merged_gateway(proxy.namespace, proxy.labels, proxy.named_ports)


def servers_at(world: World, pod: Pod, port: int) -> list[GatewayServer]:
    """The servers of Gateways that share a listener's port."""
    merged = merged_gateway(world, pod)
    if merged is None:
        return []
    groups = (*merged.plain_servers.items(), *merged.tls_servers.items())
    return [server for at, servers in groups if at.port == port for server in servers]


def server_origin(server: GatewayServer, field: str = "") -> Origin:
    """Where a server of a Gateway is written."""
    spec: Any = server.resource.spec
    for index, written in enumerate(spec.servers):
        if (
            written.port is not None
            and written.port.number == server.port
            and written.port.name == server.port_name
        ):
            return Origin.of(server.resource, f"spec.servers[{index}]{field}")
    return Origin.of(server.resource)


def service_resource(world: World, cluster: str) -> Resource | None:
    """The Service or ServiceEntry that a cluster leads to."""
    name = parse_cluster_name(cluster)
    if name is None or not name.hostname:
        return None
    service = world.push.registry.service(name.hostname)
    return service.resource if service is not None else None


def cluster_origin(world: World, pod: Pod, cluster: str) -> Origin:
    """What a cluster comes from: its subset in a DestinationRule, else the Service."""
    name = parse_cluster_name(cluster)
    if name is None or not name.hostname or pod.proxy is None:
        return NO_ORIGIN
    rule = world.push.destination_rule(name.hostname, pod.proxy.namespace, pod.proxy.labels)
    if rule is not None and name.subset:
        spec: Any = rule.resource.spec
        for index, subset in enumerate(spec.subsets):
            if subset.name == name.subset:
                return Origin.of(rule.resource, f"spec.subsets[{index}]")
    return Origin.of(service_resource(world, cluster))


def destination_origin(world: World, route: Route, cluster: str) -> Origin:
    """The destination of a route that leads to a cluster."""
    resource, name = route_resource(world, route), parse_cluster_name(cluster)
    if resource is None or name is None:
        return NO_ORIGIN
    field = route_field(route).partition(".match")[0]
    index = field.partition("[")[2].partition("]")[0]
    spec: Any = resource.spec
    if not index.isdigit() or int(index) >= len(spec.http):
        return Origin.of(resource, field)
    for number, weighted in enumerate(spec.http[int(index)].route):
        short = weighted.destination.host.partition(".")[0]
        if weighted.destination.subset == name.subset and name.hostname.startswith(short):
            return Origin.of(resource, f"{field}.route[{number}].destination")
    return Origin.of(resource, field)
