"""VirtualService: which requests to a host go where, and what happens to them on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from minimesh.config.istio.traffic import Destination
from minimesh.config.schema import Bytes, Duration, Int32, Message, Req, UInt32, message


@message
class StringMatch(Message):
    """At most one of an exact value, a prefix, and an RE2 expression that must match all of the text.

    With none of them set, it asks only that the thing is there.
    """

    exact: str | None = None
    prefix: str | None = None
    regex: str | None = None


@message
class HTTPMatchRequest(Message):
    """Conditions on a request, all of which must hold."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: Mapping[str, StringMatch] = field(default_factory=dict)
    port: UInt32 = 0
    source_labels: Mapping[str, str] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    query_params: Mapping[str, StringMatch] = field(default_factory=dict)
    ignore_uri_case: bool = False
    without_headers: Mapping[str, StringMatch] = field(default_factory=dict)
    source_namespace: str = ""
    stat_prefix: str = ""


@message
class HeaderOperations(Message):
    """Headers to set, to add and to remove."""

    set: Mapping[str, str] = field(default_factory=dict)
    add: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


@message
class Headers(Message):
    """What happens to the headers of the request and of the response."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


@message
class HTTPRouteDestination(Message):
    """One destination of a route and its share of the requests."""

    destination: Req[Destination | None] = None
    weight: Int32 = 0
    headers: Headers | None = None


class RedirectPortSelection(StrEnum):
    """Where a redirect without a port takes it from."""

    FROM_PROTOCOL_DEFAULT = "FROM_PROTOCOL_DEFAULT"
    FROM_REQUEST_PORT = "FROM_REQUEST_PORT"


@message
class HTTPRedirect(Message):
    """Answer with a redirect; what is not given stays as in the request. At most one of port, derive_port."""

    uri: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derive_port: RedirectPortSelection | None = None
    scheme: str = ""
    redirect_code: UInt32 = 0
    prefix_rewrite: str = ""


@message
class HTTPBody(Message):
    """A body, as text or as bytes."""

    string: str | None = None
    bytes: Bytes | None = None


@message
class HTTPDirectResponse(Message):
    """Answer with a fixed status and body."""

    status: Req[UInt32] = 0
    body: HTTPBody | None = None


@message
class Delegate(Message):
    """Another VirtualService that takes over from here."""

    name: str = ""
    namespace: str = ""


@message
class RegexRewrite(Message):
    """Rewrite a path by an RE2 expression with groups."""

    match: str = ""
    rewrite: str = ""


@message
class HTTPRewrite(Message):
    """Change path or authority before the request goes on."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


@message
class HTTPRetry(Message):
    """How often, on what, and how soon to try again."""

    attempts: Int32 = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None


@message
class Percent(Message):
    """A percentage, 0 to 100."""

    value: float = 0.0


@message
class Delay(Message):
    """Hold back a share of the requests for some time."""

    percent: Int32 = 0
    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None


@message
class Abort(Message):
    """Fail a share of the requests; exactly one of the three kinds of failure."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


@message
class HTTPFaultInjection(Message):
    """Faults made on purpose."""

    delay: Delay | None = None
    abort: Abort | None = None


@message
class HTTPMirrorPolicy(Message):
    """Send a copy of a share of the requests elsewhere."""

    destination: Req[Destination | None] = None
    percentage: Percent | None = None


class UnmatchedPreflights(StrEnum):
    """What happens to a preflight request that no allowed origin matches."""

    UNSPECIFIED = "UNSPECIFIED"
    FORWARD = "FORWARD"
    IGNORE = "IGNORE"


@message
class CorsPolicy(Message):
    """Which other origins may use these routes from a browser."""

    allow_origin: tuple[str, ...] = ()
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: UnmatchedPreflights | None = None


@message
class HTTPRoute(Message):
    """Requests that match any of `match` (all requests when it is empty), and what becomes of them."""

    name: str = ""
    match: tuple[HTTPMatchRequest, ...] = ()
    route: tuple[HTTPRouteDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: tuple[HTTPMirrorPolicy, ...] = ()
    mirror_percent: UInt32 | None = None
    mirror_percentage: Percent | None = None
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None


@message
class RouteDestination(Message):
    """One destination of a TCP or TLS route and its share of the connections."""

    destination: Req[Destination | None] = None
    weight: Int32 = 0


@message
class TLSMatchAttributes(Message):
    """Conditions on a TLS connection."""

    sni_hosts: Req[tuple[str, ...]] = ()
    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_labels: Mapping[str, str] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


@message
class TLSRoute(Message):
    """TLS connections passed through by server name."""

    match: Req[tuple[TLSMatchAttributes, ...]] = ()
    route: tuple[RouteDestination, ...] = ()


@message
class L4MatchAttributes(Message):
    """Conditions on a TCP connection."""

    destination_subnets: tuple[str, ...] = ()
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: Mapping[str, str] = field(default_factory=dict)
    gateways: tuple[str, ...] = ()
    source_namespace: str = ""


@message
class TCPRoute(Message):
    """TCP connections by port or address."""

    match: tuple[L4MatchAttributes, ...] = ()
    route: tuple[RouteDestination, ...] = ()


@message
class VirtualService(Message):
    """Routes for some hosts, on some gateways (`mesh`, the default, means the sidecars)."""

    hosts: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    http: tuple[HTTPRoute, ...] = ()
    tls: tuple[TLSRoute, ...] = ()
    tcp: tuple[TCPRoute, ...] = ()
    export_to: tuple[str, ...] = ()
