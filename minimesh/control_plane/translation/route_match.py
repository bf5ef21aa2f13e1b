"""An Istio match condition as Envoy's RouteMatch, and the question which routes match everything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.protobuf_values import boolean
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import HTTPMatchRequest, StringMatch
    from minimesh.control_plane.push_context.virtual_services import VirtualServiceConfig

_TOKEN_CLAIM = re.compile(r"@request\.auth\.claims(\.[^.\s]+)+|@request\.auth\.claims(\[[^\[\]]+\])+")


def build_route_match(match: HTTPMatchRequest | None, rule: VirtualServiceConfig | None = None) -> Any:
    """Translate an HTTPMatchRequest; None matches every path. `rule` decides what `prefix` means."""
    if match is None:
        return m.route_components_pb2.RouteMatch(prefix="/")
    message = m.route_components_pb2.RouteMatch(prefix="/")
    message.headers.extend(_header_matchers(match))
    _set_path(message, match.uri, rule is not None and (rule.ingress_semantics or rule.gateway_semantics))
    message.case_sensitive.CopyFrom(boolean(not match.ignore_uri_case))
    for name in ("method", "authority", "scheme"):
        wanted = getattr(match, name)
        if wanted is not None:
            message.headers.append(header_matcher(f":{name}", wanted))
    for name, wanted in sorted(match.query_params.items()):
        message.query_parameters.append(_query_matcher(name, wanted))
    return message


def source_matches(
    match: HTTPMatchRequest | None, labels: Mapping[str, str], namespace: str, gateways: Iterable[str]
) -> bool:
    """Whether a match condition is meant for this proxy: by gateway, else by its labels and namespace."""
    if match is None:
        return True
    if match.gateways:
        return any(gateway in match.gateways for gateway in gateways)
    if any(labels.get(key) != value for key, value in match.source_labels.items()):
        return False
    return not match.source_namespace or bool(match.source_namespace == namespace)


def is_catch_all(route: Any) -> bool:
    """Whether an Envoy route matches every request, whatever stands after it."""
    match = route.match
    kind = match.WhichOneof("path_specifier")
    if kind == "safe_regex":
        any_path = match.safe_regex.regex == ".*"
    else:
        any_path = kind in ("prefix", "path_separated_prefix") and getattr(match, kind) == "/"
    return bool(any_path and not match.headers and not match.query_parameters and not match.dynamic_metadata)


def sort_catch_all_last(routes: Iterable[Any]) -> list[Any]:
    """Move routes that match everything to the end; all others keep their order."""
    return sorted(routes, key=is_catch_all)


def is_token_claim(name: str) -> bool:
    """Whether a header's name is Istio's way to ask for a claim: `@request.auth.claims.group[admin]`."""
    return _TOKEN_CLAIM.fullmatch(name) is not None


def header_matcher(name: str, wanted: StringMatch) -> Any:
    """A HeaderMatcher; an empty StringMatch asks for presence only."""
    message = m.route_components_pb2.HeaderMatcher(name=name)
    if means_presence(wanted):
        message.present_match = True
    else:
        message.string_match.CopyFrom(string_matcher(wanted))
    return message


def string_matcher(wanted: StringMatch) -> Any:
    """A StringMatcher from Istio's StringMatch (exactly one of exact, prefix, regex)."""
    message = m.string_pb2.StringMatcher()
    if wanted.exact is not None:
        message.exact = wanted.exact
    elif wanted.prefix is not None:
        message.prefix = wanted.prefix
    else:
        message.safe_regex.regex = wanted.regex
    return message


def means_presence(wanted: StringMatch) -> bool:
    """Whether a StringMatch asks only that something be there: it is empty, or the regex `*`."""
    if wanted.exact is None and wanted.prefix is None and wanted.regex is None:
        return True
    return bool(wanted.regex == "*")


def _header_matchers(match: HTTPMatchRequest) -> list[Any]:
    """Matchers of `headers` and `withoutHeaders`, sorted by name. Claims of a token are not headers."""
    found = [header_matcher(n, w) for n, w in match.headers.items() if not is_token_claim(n)]
    for name, wanted in match.without_headers.items():
        if is_token_claim(name):
            continue
        matcher = header_matcher(name, wanted)
        matcher.invert_match = True
        # A missing header counts as empty, except where presence itself is the question.
        matcher.treat_missing_header_as_empty = not means_presence(wanted)
        found.append(matcher)
    return sorted(found, key=lambda matcher: matcher.name)


def _set_path(message: Any, uri: StringMatch | None, by_segment: bool) -> None:
    if uri is None:
        return
    if uri.exact is not None:
        message.path = uri.exact
    elif uri.prefix is not None:
        if by_segment and uri.prefix != "/":
            message.path_separated_prefix = uri.prefix.removesuffix("/")
        else:
            message.prefix = uri.prefix
    elif uri.regex is not None:
        message.safe_regex.regex = uri.regex


def _query_matcher(name: str, wanted: StringMatch) -> Any:
    message = m.route_components_pb2.QueryParameterMatcher(name=name)
    if means_presence(wanted):
        message.present_match = True
    else:
        message.string_match.CopyFrom(string_matcher(wanted))
    return message
