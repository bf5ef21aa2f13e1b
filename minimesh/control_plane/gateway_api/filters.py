"""Filters of the Gateway API's routes as fields of Istio's HTTP route."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from minimesh.config.istio.virtual_service import (
    CorsPolicy,
    HeaderOperations,
    Headers,
    HTTPMirrorPolicy,
    HTTPRedirect,
    HTTPRewrite,
    HTTPRoute,
    Percent,
    RedirectPortSelection,
    RegexRewrite,
    StringMatch,
    UnmatchedPreflights,
)
from minimesh.control_plane.gateway_api.conditions import Fault

if TYPE_CHECKING:
    from minimesh.control_plane.gateway_api.backends import Backends

_ANY_ORIGIN = r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/\s?#]+$"


def with_filters(route: HTTPRoute, filters: Iterable[Any], backends: Backends) -> HTTPRoute | Fault:
    """The route with what the filters do; a Fault when one of them cannot be had."""
    for each in filters:
        if each.type == "RequestMirror":
            route = _mirrored(route, each.request_mirror, backends)
        elif each.type in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            route = replace(route, headers=_modified(route.headers, each))
        elif each.type == "RequestRedirect":
            route = replace(route, redirect=_redirect(each.request_redirect))
        elif each.type == "URLRewrite":
            route = replace(route, rewrite=_rewrite(each.url_rewrite))
        elif each.type == "CORS":
            route = replace(route, cors_policy=_cors(each.cors))
        else:
            return Fault("UnsupportedValue", f'unsupported filter type "{each.type}"')
    return route


def backend_headers(filters: Iterable[Any]) -> Headers | Fault | None:
    """What the filters of one backend do to headers, which is all that they can."""
    found: Headers | None = None
    for each in filters:
        if each.type not in ("RequestHeaderModifier", "ResponseHeaderModifier"):
            return Fault("UnsupportedValue", f'unsupported filter type "{each.type}"')
        found = _modified(found, each)
    return found


def _modified(headers: Headers | None, filter_: Any) -> Headers:
    headers = headers or Headers()
    if filter_.type == "RequestHeaderModifier":
        return replace(headers, request=_operations(filter_.request_header_modifier))
    return replace(headers, response=_operations(filter_.response_header_modifier))


def _operations(modifier: Any) -> HeaderOperations | None:
    if modifier is None:
        return None
    return HeaderOperations(
        set=_by_name(modifier.set), add=_by_name(modifier.add), remove=tuple(modifier.remove)
    )


def _by_name(headers: Iterable[Any]) -> Mapping[str, str]:
    """By name, of which the first counts; names differ by more than case."""
    found: dict[str, tuple[str, str]] = {}
    for each in headers:
        found.setdefault(each.name.lower(), (each.name, each.value))
    return dict(found.values())


def _mirrored(route: HTTPRoute, mirror: Any, backends: Backends) -> HTTPRoute:
    if mirror is None or mirror.backend_ref is None:
        return route
    destination = backends.destination(mirror.backend_ref)
    if not destination.host or backends.world.service(destination.host) is None:
        return route  # a copy for nobody
    policy = HTTPMirrorPolicy(destination=destination, percentage=_share(mirror))
    return replace(route, mirrors=(*route.mirrors, policy))


def _share(mirror: Any) -> Percent | None:
    if mirror.percent is not None:
        return Percent(value=float(mirror.percent))
    if mirror.fraction is not None:
        return Percent(value=100 * mirror.fraction.numerator / (mirror.fraction.denominator or 100))
    return None


def _redirect(filter_: Any) -> HTTPRedirect | None:
    if filter_ is None:
        return None
    derived = RedirectPortSelection.FROM_REQUEST_PORT
    if filter_.scheme is not None:
        derived = RedirectPortSelection.FROM_PROTOCOL_DEFAULT
    path = filter_.path
    return HTTPRedirect(
        redirect_code=filter_.status_code or 302,
        authority=filter_.hostname or "",
        scheme=filter_.scheme or "",
        port=filter_.port,
        derive_port=derived if filter_.port is None else None,
        uri=(path.replace_full_path or "") if path is not None else "",
        prefix_rewrite=(path.replace_prefix_match or "") if path is not None else "",
    )


def _rewrite(filter_: Any) -> HTTPRewrite | None:
    if filter_ is None:
        return None
    authority, path = filter_.hostname or "", filter_.path
    if path is None:
        return HTTPRewrite(authority=authority)
    if path.type == "ReplacePrefixMatch":
        return HTTPRewrite(authority=authority, uri=(path.replace_prefix_match or "").rstrip("/") or "/")
    whole = RegexRewrite(match="/.*", rewrite=path.replace_full_path or "/")
    return HTTPRewrite(authority=authority, uri_regex_rewrite=whole)


def _cors(filter_: Any) -> CorsPolicy | None:
    if filter_ is None:
        return None
    return CorsPolicy(
        allow_origins=tuple(map(_origin, filter_.allow_origins)),
        allow_methods=tuple(filter_.allow_methods),
        allow_headers=tuple(filter_.allow_headers),
        expose_headers=tuple(filter_.expose_headers),
        max_age=timedelta(seconds=filter_.max_age) if filter_.max_age is not None else None,
        allow_credentials=True if filter_.allow_credentials else None,
        unmatched_preflights=UnmatchedPreflights.IGNORE,
    )


def _origin(written: str) -> StringMatch:
    if written == "*":
        return StringMatch(regex=_ANY_ORIGIN)
    if "*" in written:
        pattern = ".*".join(_quoted(part) for part in written.split("*"))
        return StringMatch(regex=f"^{pattern}$")
    return StringMatch(exact=written)


def _quoted(text: str) -> str:
    """Escape what RE2 reads as syntax, and nothing else."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)
