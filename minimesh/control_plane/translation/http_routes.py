"""The HTTP rules of a VirtualService as Envoy routes: what matches, where it goes, what changes there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.traffic import Destination
from minimesh.control_plane.mesh_config import MeshConfig
from minimesh.control_plane.translation.hash_policies import hash_of_destination, hash_policy
from minimesh.control_plane.translation.header_operations import HeaderOperations, header_operations
from minimesh.control_plane.translation.http_filters import (
    CORS_FILTER,
    FAULT_FILTER,
    build_cors,
    build_fault,
)
from minimesh.control_plane.translation.protobuf_values import (
    any_of,
    boolean,
    duration,
    full_percent,
    hundredths,
    millionths,
    origin_metadata,
    uint32,
)
from minimesh.control_plane.translation.retries import build_retry_policy
from minimesh.control_plane.translation.route_match import build_route_match, is_catch_all, source_matches
from minimesh.xds import messages as m
from minimesh.xds import resource_names

if TYPE_CHECKING:
    from datetime import timedelta

    from minimesh.config.istio.destination_rule import ConsistentHashLB
    from minimesh.config.istio.virtual_service import (
        HTTPDirectResponse,
        HTTPMatchRequest,
        HTTPRedirect,
        HTTPRewrite,
        HTTPRoute,
        HTTPRouteDestination,
        Percent,
    )
    from minimesh.control_plane.push_context.destination_rules import DestinationRuleConfig
    from minimesh.control_plane.push_context.virtual_services import HttpRule, VirtualServiceConfig
    from minimesh.control_plane.service_registry.services import Service

DEFAULT_ROUTE_NAME = "default"
_REDIRECT_CODES = {
    0: "MOVED_PERMANENTLY",
    301: "MOVED_PERMANENTLY",
    302: "FOUND",
    303: "SEE_OTHER",
    307: "TEMPORARY_REDIRECT",
    308: "PERMANENT_REDIRECT",
}


@dataclass(frozen=True, slots=True)
class RouteContext:
    """Where a VirtualService is being translated for: which proxy, which port, which of its gateways."""

    listen_port: int
    gateway_names: frozenset[str]
    find_service: Callable[[str], Service | None] = lambda _hostname: None
    find_destination_rule: Callable[[str], DestinationRuleConfig | None] = lambda _hostname: None
    proxy_labels: Mapping[str, str] = field(default_factory=dict)
    proxy_namespace: str = ""
    is_tls: bool = False
    mesh: MeshConfig = field(default_factory=MeshConfig)


def build_http_routes(rule: VirtualServiceConfig, context: RouteContext) -> list[Any]:
    """All routes of a VirtualService in order, up to the first that matches everything."""
    routes = []
    for http in rule.http:
        for number, match in enumerate(http.route.match or (None,)):
            route = _build_route(http, match, rule, context)
            if route is None:
                continue
            route.metadata.CopyFrom(_origin(http, number if match is not None else None, rule))
            routes.append(route)
            if is_catch_all(route):
                return routes
    return routes


def default_outbound_route(
    cluster: str, operation: str, mesh: MeshConfig, hashed_by: ConsistentHashLB | None
) -> Any:
    """The route to a service without VirtualService: every path, the mesh's retries, no timeout."""
    route = _default_route(cluster, operation)
    policy = build_retry_policy(None, mesh.default_http_retry_policy, hashed=False)
    if policy is not None:
        route.route.retry_policy.CopyFrom(policy)
    _set_timeout(route.route, None)
    if hashed_by is not None:
        route.route.hash_policy.append(hash_policy(hashed_by))
    return route


def default_inbound_route(cluster: str, operation: str) -> Any:
    """The route to the proxy's own application. Never times out; retries only what surely was not seen."""
    route = _default_route(cluster, operation)
    action = route.route
    action.timeout.CopyFrom(duration(0))
    action.max_stream_duration.max_stream_duration.CopyFrom(duration(0))
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(duration(0))
    action.retry_policy.retry_on = "reset-before-request"
    action.retry_policy.num_retries.CopyFrom(uint32(2))
    return route


def trace_operation(hostname: str, port: int) -> str:
    """`httpbin.default.svc.cluster.local:8000/*`: what a trace calls requests of a service port."""
    return f"{hostname}:{port}/*"


def destination_cluster(destination: Destination, service: Service | None, listen_port: int) -> str:
    """The cluster a destination means. Port: as written, else the service's only one, else the listener's."""
    if not destination.host:
        return "UnknownService"
    hostname = service.external_name if service is not None and service.external_name else destination.host
    port = listen_port
    if destination.port is not None:
        port = destination.port.number
    elif service is not None and len(service.ports) == 1:
        port = service.ports[0].port
    return resource_names.outbound(port, hostname, destination.subset)


def mirror_fraction(percentage: Percent | None, old_percent: int | None = None) -> Any | None:
    """The share of requests to mirror; None for zero written out, everything when nothing is written."""
    if percentage is not None:
        share = millionths(percentage.value) if percentage.value > 0 else None
    elif old_percent is not None:
        share = hundredths(old_percent) if old_percent > 0 else None
    else:
        return full_percent()
    return m.base_pb2.RuntimeFractionalPercent(default_value=share) if share is not None else None


def _default_route(cluster: str, operation: str) -> Any:
    return m.route_components_pb2.Route(
        name=DEFAULT_ROUTE_NAME,
        match=build_route_match(None),
        route=m.route_components_pb2.RouteAction(cluster=cluster),
        decorator=m.route_components_pb2.Decorator(operation=operation),
    )


def _build_route(
    http: HttpRule, match: HTTPMatchRequest | None, rule: VirtualServiceConfig, context: RouteContext
) -> Any | None:
    """One route for one match; None when the match is for another port, gateway or caller."""
    if match is not None and match.port and match.port != context.listen_port:
        return None
    if not source_matches(match, context.proxy_labels, context.proxy_namespace, context.gateway_names):
        return None
    written = http.route
    name = written.name
    if match is not None and match.name:
        name = f"{name}.{match.name}"
    route = m.route_components_pb2.Route(
        name=name,
        match=build_route_match(match, rule),
        stat_prefix=match.stat_prefix if match is not None else "",
    )
    operations = header_operations(written.headers)
    operations.apply_to(route)
    _set_action(route, http, rule, context, operations)
    route.decorator.operation = _operation(route, rule.name, context.listen_port)
    _set_filters(route, written)
    return route


def _origin(http: HttpRule, match_number: int | None, rule: VirtualServiceConfig) -> Any:
    """Which object decides, as istiod says it, and where exactly it does."""
    field = f"spec.http[{http.index}]"
    if match_number is not None and http.resource is rule.resource:  # a delegate's are merged with its root's
        field += f".match[{match_number}]"
    return origin_metadata(rule.resource, http.resource, field)


def _set_action(
    route: Any,
    http: HttpRule,
    rule: VirtualServiceConfig,
    context: RouteContext,
    operations: HeaderOperations,
) -> None:
    written = http.route
    if written.redirect is not None:
        _set_redirect(route, written.redirect, rule, context)
    elif written.direct_response is not None:
        _set_direct_response(route, written.direct_response)
    else:
        _set_forwarding(route, written, rule, context, operations.authority)


def _set_filters(route: Any, written: HTTPRoute) -> None:
    fault = build_fault(written.fault) if written.fault is not None else None
    if fault is not None:
        route.typed_per_filter_config[FAULT_FILTER].CopyFrom(any_of(fault))
    if written.cors_policy is not None:
        route.typed_per_filter_config[CORS_FILTER].CopyFrom(any_of(build_cors(written.cors_policy)))


def _operation(route: Any, rule_name: str, port: int) -> str:
    """A trace's name for the route: host, port and path pattern of its one cluster, else the rule's name."""
    match = route.match
    kind = match.WhichOneof("path_specifier")
    path = {"prefix": f"{match.prefix}*", "path": match.path, "safe_regex": match.safe_regex.regex}.get(
        kind, "/*"
    )
    cluster = resource_names.parse_cluster_name(route.route.cluster)
    if cluster is not None:
        return f"{cluster.hostname}:{cluster.port}{path}"
    return f"{rule_name}:{port}{path}"


def _set_forwarding(
    route: Any, written: HTTPRoute, rule: VirtualServiceConfig, context: RouteContext, authority: str
) -> None:
    action = route.route
    action.SetInParent()
    _set_timeout(action, written.timeout)
    if rule.gateway_semantics:
        action.cluster_not_found_response_code = action.INTERNAL_SERVER_ERROR
    if written.rewrite is not None:
        _set_path_rewrite(action, written.rewrite, route.match, rule)
        authority = written.rewrite.authority or authority
    if authority:
        _set_host_rewrite(action, authority, context.mesh)
    _add_mirrors(action, written, context)
    if len(written.route) == 1:
        hashed = _set_cluster(route, written.route[0], context)
    else:
        hashed = False
        _set_weighted_clusters(action, written.route, context)
    policy = build_retry_policy(written.retries, context.mesh.default_http_retry_policy, hashed)
    if policy is not None:
        action.retry_policy.CopyFrom(policy)


def _set_timeout(action: Any, timeout: timedelta | None) -> None:
    """No timeout unless written; a gRPC caller's own deadline is bounded by the same."""
    limit = duration(timeout if timeout is not None else 0)
    action.timeout.CopyFrom(limit)
    action.max_grpc_timeout.CopyFrom(limit)


def _set_path_rewrite(action: Any, rewrite: HTTPRewrite, match: Any, rule: VirtualServiceConfig) -> None:
    if rewrite.uri_regex_rewrite is not None:
        action.regex_rewrite.pattern.regex = rewrite.uri_regex_rewrite.match
        action.regex_rewrite.substitution = rewrite.uri_regex_rewrite.rewrite
    elif rewrite.uri == "/" and rule.gateway_semantics:
        # Replacing `/prefix` by `/` must not leave `//rest`: the slash after the prefix goes as well.
        action.regex_rewrite.pattern.regex = f"^{_quote_re2(match.path_separated_prefix)}(/?)(.*)"
        action.regex_rewrite.substitution = r"/\2"
    elif rewrite.uri:
        action.prefix_rewrite = rewrite.uri


def _quote_re2(text: str) -> str:
    """Escape what RE2 reads as syntax, and nothing else: Python's own escape also touches `-`."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _set_host_rewrite(action: Any, authority: str, mesh: MeshConfig) -> None:
    action.host_rewrite_literal = authority
    action.append_x_forwarded_host = mesh.append_x_forwarded_host


def _add_mirrors(action: Any, written: HTTPRoute, context: RouteContext) -> None:
    mirrors: list[tuple[Destination | None, Any | None]] = []
    if written.mirror is not None:
        fraction = mirror_fraction(written.mirror_percentage, written.mirror_percent)
        mirrors.append((written.mirror, fraction))
    mirrors += [(mirror.destination, mirror_fraction(mirror.percentage)) for mirror in written.mirrors]
    for destination, fraction in mirrors:
        if destination is None or fraction is None:
            continue
        service = context.find_service(destination.host)
        action.request_mirror_policies.add(
            cluster=destination_cluster(destination, service, context.listen_port),
            runtime_fraction=fraction,
            trace_sampled=boolean(False),
        )


def _set_cluster(route: Any, weighted: HTTPRouteDestination, context: RouteContext) -> bool:
    """Send everything to one destination; tells whether a hash chooses its endpoint."""
    action = route.route
    action.cluster = _cluster_of(weighted, context)
    operations = header_operations(weighted.headers)
    operations.apply_to(route)
    # The route's own rewrite of the host wins, as it does when there are several destinations.
    if operations.authority and not action.WhichOneof("host_rewrite_specifier"):
        action.host_rewrite_literal = operations.authority
    return _add_hash_policy(action, weighted, context)


def _set_weighted_clusters(
    action: Any, destinations: Sequence[HTTPRouteDestination], context: RouteContext
) -> None:
    action.weighted_clusters.SetInParent()
    for weighted in destinations:
        if not weighted.weight:
            continue
        cluster = action.weighted_clusters.clusters.add(
            name=_cluster_of(weighted, context), weight=uint32(weighted.weight)
        )
        operations = header_operations(weighted.headers)
        operations.apply_to(cluster)
        if operations.authority:
            cluster.host_rewrite_literal = operations.authority
        _add_hash_policy(action, weighted, context)


def _cluster_of(weighted: HTTPRouteDestination, context: RouteContext) -> str:
    destination = weighted.destination or Destination()
    return destination_cluster(destination, context.find_service(destination.host), context.listen_port)


def _add_hash_policy(action: Any, weighted: HTTPRouteDestination, context: RouteContext) -> bool:
    destination = weighted.destination or Destination()
    consistent_hash = hash_of_destination(destination, context.find_destination_rule(destination.host))
    if consistent_hash is None:
        return False
    policy = hash_policy(consistent_hash)
    if policy is not None:
        action.hash_policy.append(policy)
    return True


def _set_redirect(
    route: Any, redirect: HTTPRedirect, rule: VirtualServiceConfig, context: RouteContext
) -> None:
    code = _REDIRECT_CODES.get(redirect.redirect_code)
    if code is None:
        return
    action = route.redirect
    action.SetInParent()
    action.response_code = action.RedirectResponseCode.Value(code)
    action.host_redirect = redirect.authority
    if redirect.prefix_rewrite:
        action.prefix_rewrite = redirect.prefix_rewrite
    elif rule.gateway_semantics and redirect.uri.startswith("%PREFIX()%"):
        action.prefix_rewrite = redirect.uri.removeprefix("%PREFIX()%")
    else:
        action.path_redirect = redirect.uri
    if redirect.scheme:
        action.scheme_redirect = redirect.scheme
    action.port_redirect = _redirect_port(redirect, context)


def _redirect_port(redirect: HTTPRedirect, context: RouteContext) -> int:
    """The port to name in the location; 0 (none) where it is the scheme's own."""
    port = redirect.port or 0
    if str(redirect.derive_port or "") == "FROM_REQUEST_PORT":
        port = context.listen_port
    scheme = redirect.scheme or ("https" if context.is_tls else "http")
    return 0 if (port, scheme) in ((80, "http"), (443, "https")) else port


def _set_direct_response(route: Any, response: HTTPDirectResponse) -> None:
    route.direct_response.status = response.status
    if response.body is None:
        return
    if response.body.string is not None:
        route.direct_response.body.inline_string = response.body.string
    elif response.body.bytes is not None:
        route.direct_response.body.inline_bytes = response.body.bytes
