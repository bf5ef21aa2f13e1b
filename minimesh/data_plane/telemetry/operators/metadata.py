"""Operators that look into metadata and filter state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minimesh.data_plane.telemetry.format_language import Command, FormatError
from minimesh.data_plane.telemetry.operators.expression import Builder, Expression, bind, nothing


def _dynamic_metadata(command: Command) -> Expression:
    return _metadata_value("dynamic_metadata", command.argument or "")


def _cluster_metadata(command: Command) -> Expression:
    return _metadata_value("upstream_cluster_metadata", command.argument or "")


def _upstream_metadata(command: Command) -> Expression:
    return _metadata_value("upstream_host_metadata", command.argument or "")


_METADATA_KINDS = {
    "DYNAMIC": "dynamic_metadata",
    "CLUSTER": "upstream_cluster_metadata",
    "ROUTE": "route_metadata",
    "UPSTREAM_HOST": "upstream_host_metadata",
    "LISTENER": "listener_metadata",
    "LISTENER_FILTER_CHAIN": "listener_metadata",
    "VIRTUAL_HOST": "route_metadata",
}


def _metadata(command: Command) -> Expression:
    kind, _, path = (command.argument or "").partition(":")
    attribute = _METADATA_KINDS.get(kind)
    if attribute is None:
        raise FormatError(f"{kind} is not supported type of metadata")
    return _metadata_value(attribute, path)


def _metadata_value(attribute: str, argument: str) -> Expression:
    return _dug(attribute, tuple(argument.split(":")))


def _dug(attribute: str, path: tuple[str, ...]) -> Expression:
    bound, bindings = bind(path)
    return Expression(f"dig(i.{attribute}, {bound})", kind="any", bindings={**bindings, "dig": dig})


def dig(tree: Any, path: tuple[str, ...]) -> Any:
    """Walk down nested mappings; None when the path leads nowhere. Whole floats become integers."""
    for key in path:
        if not isinstance(tree, Mapping) or key not in tree:
            return None
        tree = tree[key]
    return int(tree) if isinstance(tree, float) and tree.is_integer() else tree


def _filter_state(command: Command) -> Expression:
    key, _, kind = (command.argument or "").partition(":")
    if not key:
        raise FormatError("Invalid filter state configuration, key cannot be empty.")
    if kind.partition(":")[0] not in ("", "PLAIN", "TYPED", "FIELD"):
        raise FormatError("Invalid filter state serialize type, only support PLAIN/TYPED/FIELD.")
    return _dug("filter_state", (key,))


def _upstream_filter_state(command: Command) -> Expression:
    _filter_state(command)
    return nothing()


WITH_ARGUMENT: dict[str, Builder] = {
    "DYNAMIC_METADATA": _dynamic_metadata,
    "CLUSTER_METADATA": _cluster_metadata,
    "UPSTREAM_METADATA": _upstream_metadata,
    "METADATA": _metadata,
    "FILTER_STATE": _filter_state,
    "UPSTREAM_FILTER_STATE": _upstream_filter_state,
}
