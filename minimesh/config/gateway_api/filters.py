"""What routes of the Gateway API do with requests and responses besides sending them on."""

from __future__ import annotations

from typing import Annotated

from minimesh.config.gateway_api.references import (
    BackendObjectReference,
    Hostname,
    LocalObjectReference,
    Port,
)
from minimesh.config.gateway_api.rules import MODIFIER_RULES, filter_rules
from minimesh.config.schema import Int32, Length, Message, OneOf, Percentage, Req, message

HeaderName = Annotated[str, Length(1, 256)]


@message
class HTTPHeader(Message):
    """A header with its value."""

    name: Req[HeaderName] = ""
    value: Req[Annotated[str, Length(1, 4096)]] = ""


@message
class HTTPHeaderFilter(Message):
    """Headers to set, to add and to remove."""

    set: Annotated[tuple[HTTPHeader, ...], Length(0, 16)] = ()
    add: Annotated[tuple[HTTPHeader, ...], Length(0, 16)] = ()
    remove: Annotated[tuple[str, ...], Length(0, 16)] = ()


@message
class Fraction(Message):
    """A share of the requests; the denominator is 100 unless given."""

    numerator: Req[Int32] = 0
    denominator: Int32 | None = None


@message
class HTTPRequestMirrorFilter(Message):
    """A copy of a share of the requests goes to another backend too."""

    backend_ref: Req[BackendObjectReference | None] = None
    percent: Percentage | None = None
    fraction: Fraction | None = None


@message
class HTTPPathModifier(Message):
    """A new path, or a new beginning in place of the prefix that matched."""

    schema_rules = MODIFIER_RULES

    type: Req[Annotated[str, OneOf(("ReplaceFullPath", "ReplacePrefixMatch"))]] = ""
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


@message
class HTTPRequestRedirectFilter(Message):
    """Answer with a redirect; what is not given stays as in the request."""

    scheme: Annotated[str, OneOf(("http", "https"))] | None = None
    hostname: Hostname | None = None
    path: HTTPPathModifier | None = None
    port: Port | None = None
    status_code: Int32 | None = None


@message
class HTTPURLRewriteFilter(Message):
    """Change host or path before the request goes on."""

    hostname: Hostname | None = None
    path: HTTPPathModifier | None = None


@message
class HTTPCORSFilter(Message):
    """Which other origins may use these routes from a browser; `max_age` in seconds."""

    allow_origins: Annotated[tuple[str, ...], Length(0, 64)] = ()
    allow_credentials: bool | None = None
    allow_methods: Annotated[tuple[str, ...], Length(0, 9)] = ()
    allow_headers: Annotated[tuple[str, ...], Length(0, 64)] = ()
    expose_headers: Annotated[tuple[str, ...], Length(0, 64)] = ()
    max_age: Int32 | None = None


_HTTP_FILTERS = (
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
    "CORS",
    "ExternalAuth",
)


_ANY_ROUTE = {
    "requestHeaderModifier": "RequestHeaderModifier",
    "responseHeaderModifier": "ResponseHeaderModifier",
    "requestMirror": "RequestMirror",
    "extensionRef": "ExtensionRef",
}


@message
class HTTPRouteFilter(Message):
    """One filter; the field that its type names holds what it does."""

    schema_rules = filter_rules(
        {
            **_ANY_ROUTE,
            "requestRedirect": "RequestRedirect",
            "urlRewrite": "URLRewrite",
            "cors": "CORS",
        }
    )

    type: Req[Annotated[str, OneOf(_HTTP_FILTERS)]] = ""
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    request_redirect: HTTPRequestRedirectFilter | None = None
    url_rewrite: HTTPURLRewriteFilter | None = None
    cors: HTTPCORSFilter | None = None
    extension_ref: LocalObjectReference | None = None


_GRPC_FILTERS = ("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef")


@message
class GRPCRouteFilter(Message):
    """One filter of a gRPC route."""

    schema_rules = filter_rules(_ANY_ROUTE)

    type: Req[Annotated[str, OneOf(_GRPC_FILTERS)]] = ""
    request_header_modifier: HTTPHeaderFilter | None = None
    response_header_modifier: HTTPHeaderFilter | None = None
    request_mirror: HTTPRequestMirrorFilter | None = None
    extension_ref: LocalObjectReference | None = None
