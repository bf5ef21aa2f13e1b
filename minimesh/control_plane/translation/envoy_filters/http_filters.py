"""HTTP_FILTER patches, and what else is inside of an HTTP connection manager."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.translation.envoy_filters.merge import (
    MERGES,
    merge_typed_config,
    place,
    set_list,
)

if TYPE_CHECKING:
    from minimesh.control_plane.translation.envoy_filters.patches import Patch

_OLD_NAMES = {
    "envoy.buffer": "envoy.filters.http.buffer",
    "envoy.cors": "envoy.filters.http.cors",
    "envoy.fault": "envoy.filters.http.fault",
    "envoy.grpc_web": "envoy.filters.http.grpc_web",
    "envoy.gzip": "envoy.filters.http.gzip",
    "envoy.health_check": "envoy.filters.http.health_check",
    "envoy.lua": "envoy.filters.http.lua",
    "envoy.rate_limit": "envoy.filters.http.ratelimit",
    "envoy.router": "envoy.filters.http.router",
    "envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
    "envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
    "envoy.mysql_proxy": "envoy.filters.network.mysql_proxy",
    "envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
    "envoy.redis_proxy": "envoy.filters.network.redis_proxy",
}
"""Names of before Envoy 1.14, which patches may still use."""


def same_name(wanted: str, name: str) -> bool:
    """Whether a patch means the filter of this name."""
    return wanted == name or _OLD_NAMES.get(wanted) == name


def patch_filters(filters: Any, patches: list[Patch], name_of: Callable[[Patch], str]) -> None:
    """Make patches on the filters of a chain, network or HTTP: first what comes in, then the rest.

    `name_of` gives the name of the filter that a patch speaks of; empty when it names none.
    """
    found = list(filters)
    for patch in patches:
        wanted = name_of(patch)
        place(found, patch, partial(_is_named, wanted) if wanted else None)
    for patch in patches:
        wanted = name_of(patch)
        fitting = [each for each in found if not wanted or same_name(wanted, each.name)]
        if patch.operation == "REMOVE":
            found = [each for each in found if each not in fitting]
        elif patch.operation in MERGES:
            for each in fitting:
                replace_lists = patch.operation == "MERGE_AND_REPLACE_LIST"
                merge_typed_config(each, patch.value, replace_lists=replace_lists)
    set_list(filters, found)


def _is_named(wanted: str, each: Any) -> bool:
    return same_name(wanted, each.name)


def sub_filter_name(patch: Patch) -> str:
    """The HTTP filter that a patch names; empty for none."""
    wanted = network_filter_match(patch)
    return str(wanted.sub_filter.name) if wanted is not None and wanted.sub_filter is not None else ""


def network_filter_name(patch: Patch) -> str:
    """The network filter that a patch names; empty for none."""
    wanted = network_filter_match(patch)
    return str(wanted.name) if wanted is not None else ""


def network_filter_match(patch: Patch) -> Any | None:
    listener = patch.match("listener")
    chain = listener.filter_chain if listener is not None else None
    return chain.filter if chain is not None else None
