"""Delegation: one VirtualService hands a route over to another, whose rules then stand in its place.

A delegate is a VirtualService without hosts. Each of its rules must stay within what the root's rule matches:
a rule of which some condition contradicts all of the root's is left out. Delegation goes one level deep: a
delegate that delegates is refused before it comes here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

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


def is_delegate(spec: Any) -> bool:
    """Whether a VirtualService can only be delegated to: it names no hosts of its own."""
    return not spec.hosts


def delegated_rules(root: Any, rules: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    """(index, rule) of a delegate's rules, narrowed by the root's route and completed from it."""
    for index, rule in enumerate(rules):
        matches = _merged_matches(root.match, rule.match)
        if matches is None:
            continue
        completed = {f: getattr(root, f) for f in _INHERITED if not _is_set(getattr(rule, f))}
        yield index, replace(rule, name=_joined(root.name, rule.name), match=matches, **completed)


def _is_set(value: Any) -> bool:
    return value is not None and value != ()


def _joined(root: str, leaf: str) -> str:
    return "-".join(part for part in (root, leaf) if part)


def _merged_matches(root: Sequence[Any], leaf: Sequence[Any]) -> tuple[Any, ...] | None:
    """Each condition of the delegate with each of the root's that it can stand beside.

    None when one of the delegate's finds no partner: then the whole rule would go beyond the root's.
    """
    if not root or not leaf:
        return tuple(root or leaf)
    merged: list[Any] = []
    for narrow in leaf:
        found = [_merge(wide, narrow) for wide in root if not _contradict(wide, narrow)]
        if not found:
            return None
        merged.extend(found)
    return tuple(merged)


def _merge(root: Any, leaf: Any) -> Any:
    return replace(
        leaf,
        name=_joined(root.name, leaf.name),
        port=leaf.port or root.port,
        source_labels={**root.source_labels, **leaf.source_labels},
        source_namespace=leaf.source_namespace or root.source_namespace,
        gateways=leaf.gateways or root.gateways,
        stat_prefix=leaf.stat_prefix or root.stat_prefix,
        **{f: getattr(leaf, f) or getattr(root, f) for f in _STRING_MATCHES},
        **{f: {**getattr(root, f), **getattr(leaf, f)} for f in _MAPS_OF_MATCHES},
    )


def _contradict(root: Any, leaf: Any) -> bool:
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


def _maps_contradict(root: Mapping[str, Any], leaf: Mapping[str, Any]) -> bool:
    return any(_texts_contradict(root.get(name), wanted) for name, wanted in leaf.items())


def _texts_contradict(root: Any | None, leaf: Any | None) -> bool:
    """Nobody can tell whether an expression, or whatever is there, lies within another text."""
    if root is None or leaf is None:
        return False
    if root.regex or leaf.regex:
        return True
    if root.exact:
        return bool(leaf.exact != root.exact)
    leaf_says = leaf.exact or leaf.prefix
    return not (root.prefix and leaf_says and leaf_says.startswith(root.prefix))
