"""What the table of HTTP filters says of each: its messages, and what makes a filter of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minimesh.data_plane.http.interfaces import Filter
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.context import CompileContext


@dataclass(frozen=True, slots=True)
class FilterSite:
    """Where in a chain a filter is to stand."""

    name: str
    """As the chain calls it; routes configure it by this name."""
    path: str
    """Of its configuration, for errors."""
    stat_prefix: str
    """`http.<the connection manager's>.`: the filter counts below it."""
    context: CompileContext

    @property
    def stats(self) -> StatsStore:
        return self.context.stats


@dataclass(frozen=True, slots=True)
class FilterKind:
    """One HTTP filter. All functions raise CompileError for what they do not support."""

    message: Any
    """The class of its configuration's messages."""
    compile: Callable[[Any, FilterSite], Filter]
    route_message: Any = None
    """The class of the messages by which routes configure it; None: they cannot."""
    compile_for_route: Callable[[Any, str, CompileContext], object] | None = None
    """(message, path, context) -> what the filter finds as `stream.filter_config`."""
