"""Which filters of a chain a stream meets, by what its route says of them.

A route may configure a filter, switch it off, or switch on one that the chain has but leaves off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from minimesh.data_plane.http.interfaces import Filter

_MEMO_ENTRIES = 1024


class RouteSwitch(Enum):
    """What a route may say of a filter in place of a configuration of its own."""

    OFF = "off"
    ON = "on"


class DisabledFilter:
    """A filter that the chain leaves off (`disabled: true`): only routes that name it meet it."""

    by_route = True

    def __init__(self, filter_: Filter) -> None:
        self.filter = filter_
        self.name = filter_.name
        self.on_request = filter_.on_request
        self.on_response = filter_.on_response


def standing_filters(filters: Sequence[Filter]) -> tuple[Filter, ...]:
    """The filters for routes that say nothing of any filter."""
    return tuple(each for each in filters if not each.by_route)


class FiltersOfRoutes:
    """The filters of one chain for each mapping of configurations that a route brings along.

    A mapping belongs to a route table and does not change, so the answer is kept. Tables come and go while a
    chain stays: what is kept is bounded.
    """

    __slots__ = ("_filters", "_known")

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = tuple(filters)
        #: By identity; the mapping beside the answer keeps its identity from being given to another.
        self._known: dict[int, tuple[Mapping[str, object], tuple[Filter, ...]]] = {}

    def chosen(self, configs: Mapping[str, object]) -> tuple[Filter, ...]:
        """The filters to run for a route with `configs` (filter name -> configuration or `RouteSwitch`)."""
        known = self._known.get(id(configs))
        if known is not None:
            return known[1]
        chosen = tuple(each for each in self._filters if _runs(each, configs.get(each.name)))
        if len(self._known) >= _MEMO_ENTRIES:
            self._known.clear()
        self._known[id(configs)] = (configs, chosen)
        return chosen


def _runs(filter_: Filter, config: object) -> bool:
    if config is RouteSwitch.OFF:
        return False
    return config is not None or not filter_.by_route
