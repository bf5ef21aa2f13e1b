"""HTTPRoute, GRPCRoute, TCPRoute and TLSRoute: which traffic of a parent goes to which backends."""

from __future__ import annotations

from typing import Annotated

from minimesh.config.gateway_api.filters import GRPCRouteFilter, HeaderName, HTTPRouteFilter
from minimesh.config.gateway_api.references import (
    BackendRef,
    GatewayDuration,
    Group,
    Hostnames,
    KindName,
    NamespaceName,
    ObjectName,
    ParentRefs,
    Port,
    SectionName,
    Weight,
)
from minimesh.config.gateway_api.rules import HAS_PORT, ONE_WAY, PATH_RULES, ROUTE_RULES, at_most_once
from minimesh.config.schema import Int32, Json, Length, Message, OneOf, Range, Req, message

_HEADER_FILTERS_ONCE = (at_most_once("RequestHeaderModifier"), at_most_once("ResponseHeaderModifier"))
HTTPRouteFilters = Annotated[
    tuple[HTTPRouteFilter, ...],
    Length(0, 16),
    ONE_WAY,
    *_HEADER_FILTERS_ONCE,
    at_most_once("RequestRedirect"),
    at_most_once("URLRewrite"),
]
GRPCRouteFilters = Annotated[tuple[GRPCRouteFilter, ...], Length(0, 16), *_HEADER_FILTERS_ONCE]
MatchType = Annotated[str, OneOf(("Exact", "RegularExpression"))]


@message
class HTTPPathMatch(Message):
    """A path, exact, by its first segments, or by an RE2 expression; `/` as prefix unless given."""

    schema_rules = PATH_RULES

    type: Annotated[str, OneOf(("Exact", "PathPrefix", "RegularExpression"))] | None = None
    value: Annotated[str, Length(0, 1024)] | None = None


@message
class HTTPHeaderMatch(Message):
    """A header and its value."""

    type: MatchType | None = None
    name: Req[HeaderName] = ""
    value: Req[Annotated[str, Length(1, 4096)]] = ""


@message
class HTTPQueryParamMatch(Message):
    """A parameter of the query and its value."""

    type: MatchType | None = None
    name: Req[HeaderName] = ""
    value: Req[Annotated[str, Length(1, 1024)]] = ""


_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")


@message
class HTTPRouteMatch(Message):
    """Conditions on a request, all of which must hold."""

    path: HTTPPathMatch | None = None
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Length(0, 16)] = ()
    query_params: Annotated[tuple[HTTPQueryParamMatch, ...], Length(0, 16)] = ()
    method: Annotated[str, OneOf(_METHODS)] | None = None


@message
class HTTPBackendRef(Message):
    """A backend, its share of the requests, and what is done with those."""

    schema_rules = (HAS_PORT,)

    group: Group | None = None
    kind: KindName | None = None
    name: Req[ObjectName] = ""
    namespace: NamespaceName | None = None
    port: Port | None = None
    weight: Weight | None = None
    filters: HTTPRouteFilters = ()


@message
class HTTPRouteTimeouts(Message):
    """How long a request, and one try of it, may take."""

    request: GatewayDuration | None = None
    backend_request: GatewayDuration | None = None


@message
class HTTPRouteRetry(Message):
    """After which statuses, how often and how soon to try again."""

    codes: tuple[Annotated[int, Range(400, 599)], ...] = ()
    attempts: Int32 | None = None
    backoff: GatewayDuration | None = None


@message
class HTTPRouteRule(Message):
    """Requests that match any of `matches`, and what becomes of them."""

    schema_rules = ROUTE_RULES

    name: SectionName | None = None
    matches: Annotated[tuple[HTTPRouteMatch, ...], Length(0, 64)] = ()
    filters: HTTPRouteFilters = ()
    backend_refs: Annotated[tuple[HTTPBackendRef, ...], Length(0, 16)] = ()
    timeouts: HTTPRouteTimeouts | None = None
    retry: HTTPRouteRetry | None = None
    session_persistence: Json = None


@message
class HTTPRoute(Message):
    """HTTP requests to some hosts, from some parents."""

    parent_refs: ParentRefs = ()
    use_default_gateways: str = ""
    hostnames: Hostnames = ()
    rules: Annotated[tuple[HTTPRouteRule, ...], Length(0, 16)] = ()


@message
class GRPCMethodMatch(Message):
    """A gRPC service, a method, or both."""

    type: MatchType | None = None
    service: Annotated[str, Length(0, 1024)] | None = None
    method: Annotated[str, Length(0, 1024)] | None = None


@message
class GRPCRouteMatch(Message):
    """Conditions on a call, all of which must hold."""

    method: GRPCMethodMatch | None = None
    headers: Annotated[tuple[HTTPHeaderMatch, ...], Length(0, 16)] = ()


@message
class GRPCBackendRef(Message):
    """A backend, its share of the calls, and what is done with those."""

    schema_rules = (HAS_PORT,)

    group: Group | None = None
    kind: KindName | None = None
    name: Req[ObjectName] = ""
    namespace: NamespaceName | None = None
    port: Port | None = None
    weight: Weight | None = None
    filters: GRPCRouteFilters = ()


@message
class GRPCRouteRule(Message):
    """Calls that match any of `matches`, and what becomes of them."""

    name: SectionName | None = None
    matches: Annotated[tuple[GRPCRouteMatch, ...], Length(0, 64)] = ()
    filters: GRPCRouteFilters = ()
    backend_refs: Annotated[tuple[GRPCBackendRef, ...], Length(0, 16)] = ()
    session_persistence: Json = None


@message
class GRPCRoute(Message):
    """gRPC calls to some hosts, from some parents."""

    parent_refs: ParentRefs = ()
    use_default_gateways: str = ""
    hostnames: Hostnames = ()
    rules: Annotated[tuple[GRPCRouteRule, ...], Length(0, 16)] = ()


@message
class L4RouteRule(Message):
    """The backends of connections."""

    name: SectionName | None = None
    backend_refs: Annotated[tuple[BackendRef, ...], Length(0, 16)] = ()


@message
class TCPRoute(Message):
    """TCP connections, from some parents."""

    parent_refs: ParentRefs = ()
    use_default_gateways: str = ""
    rules: Annotated[tuple[L4RouteRule, ...], Length(0, 16)] = ()


@message
class TLSRoute(Message):
    """TLS connections by server name, from some parents."""

    parent_refs: ParentRefs = ()
    use_default_gateways: str = ""
    hostnames: Hostnames = ()
    rules: Annotated[tuple[L4RouteRule, ...], Length(0, 16)] = ()
