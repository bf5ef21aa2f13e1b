"""Delegation: one VirtualService hands a route over to another, whose rules then stand in its place.

A delegate is a VirtualService without hosts. Each of its rules must stay within what the root's rule matches:
a rule of which some condition contradicts all of the root's is left out. Delegation goes one level deep: a
delegate that delegates is refused before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minimesh.config.istio.virtual_service import HTTPMatchRequest, HTTPRoute, StringMatch, VirtualService

_STRING_MATCHES = ("uri", "scheme", "method", "authority")
_MAPS_OF_MATCHES = ("headers", "without_headers", "query_params")
_INHERITED = (
    "rewrite",
    "direct_response",
    "timeout",
    "retries",
    "fault",
    "mirror",
    "mirror_percent",
    "mirror_percentage",
    "mirrors",
    "cors_policy",
    "headers",
)


def is_delegate(spec: VirtualService) -> bool:
    """Whether a VirtualService can only be delegated to: it names no hosts of its own."""
    return not spec.hosts


def delegated_rules(root: HTTPRoute, rules: Iterable[HTTPRoute]) -> Iterable[tuple[int, HTTPRoute]]:
    """(index, rule) of a delegate's rules, narrowed by the root's route and completed from it."""
    for index, rule in enumerate(rules):
        matches = _merged_matches(root.match, rule.match)
        if matches is None:
            continue
        completed = {f: getattr(root, f) for f in _INHERITED if not _is_set(getattr(rule, f))}
        yield index, replace(rule, name=_joined(root.name, rule.name), match=matches, **completed)


def _is_set(value: object) -> bool:
    return value is not None and value != ()


def _joined(root: str, leaf: str) -> str:
    return "-".join(part for part in (root, leaf) if part)


def _merged_matches(
    root: Sequence[HTTPMatchRequest], leaf: Sequence[HTTPMatchRequest]
) -> tuple[HTTPMatchRequest, ...] | None:
    """Each condition of the delegate with each of the root's that it can stand beside.

    None when one of the delegate's finds no partner: then the whole rule would go beyond the root's.
    """
    if not root or not leaf:
        return tuple(root or leaf)
    merged: list[HTTPMatchRequest] = []
    for narrow in leaf:
        found = [_merge(wide, narrow) for wide in root if not _contradict(wide, narrow)]
        if not found:
            return None
        merged.extend(found)
    return tuple(merged)


def _merge(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> HTTPMatchRequest:
    return replace(
        leaf,
        name=_joined(root.name, leaf.name),
        port=leaf.port or root.port,
        source_labels={**root.source_labels, **leaf.source_labels},
        source_namespace=leaf.source_namespace or root.source_namespace,
        gateways=leaf.gateways or root.gateways,
        stat_prefix=leaf.stat_prefix or root.stat_prefix,
        uri=leaf.uri or root.uri,
        scheme=leaf.scheme or root.scheme,
        method=leaf.method or root.method,
        authority=leaf.authority or root.authority,
        headers={**root.headers, **leaf.headers},
        without_headers={**root.without_headers, **leaf.without_headers},
        query_params={**root.query_params, **leaf.query_params},
    )


def _contradict(root: HTTPMatchRequest, leaf: HTTPMatchRequest) -> bool:
    """Whether the delegate's condition reaches beyond the root's, or can never hold together with it."""
    return (
        any(_texts_contradict(getattr(root, f), getattr(leaf, f)) for f in _STRING_MATCHES)
        or any(_maps_contradict(getattr(root, f), getattr(leaf, f)) for f in _MAPS_OF_MATCHES)
        or root.ignore_uri_case != leaf.ignore_uri_case
        or bool(root.port and leaf.port and root.port != leaf.port)
        or bool(root.source_namespace and root.source_namespace != leaf.source_namespace)
        or any(root.source_labels.get(k, v) != v for k, v in leaf.source_labels.items())
        or bool(root.gateways and not set(leaf.gateways) <= set(root.gateways))
    )


def _maps_contradict(root: Mapping[str, StringMatch], leaf: Mapping[str, StringMatch]) -> bool:
    return any(_texts_contradict(root.get(name), wanted) for name, wanted in leaf.items())


def _texts_contradict(root: StringMatch | None, leaf: StringMatch | None) -> bool:
    """Nobody can tell whether an expression, or whatever is there, lies within another text."""
    if root is None or leaf is None:
        return False
    if root.regex or leaf.regex:
        return True
    if root.exact:
        return leaf.exact != root.exact
    leaf_says = leaf.exact or leaf.prefix
    return not (root.prefix and leaf_says and leaf_says.startswith(root.prefix))
