"""The draw that makes the likeliest happen: the heaviest cluster, a fault only if most requests have it.

A proxy draws a number for each request; here the number is looked for that comes out so. What happens to the
other requests is told beside it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from minimesh.data_plane.http.filters.fault import FaultSettings
from minimesh.data_plane.routing.actions import RouteAction, WeightedClusters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minimesh.data_plane.http.filters.fault import Share
    from minimesh.data_plane.routing.actions import ClusterChoice
    from minimesh.data_plane.routing.route_table import Route

_TRIES = 4096
_STRIDE = 9973  # a prime, so that every share of a million is met


def shares(action: RouteAction) -> list[tuple[ClusterChoice, float]]:
    """Each cluster that the route may send to, with its share in percent; one alone has all."""
    clusters = action.clusters
    if not isinstance(clusters, WeightedClusters):
        choice = getattr(clusters, "choice", None)
        return [] if choice is None else [(choice, 100.0)]
    bounds = clusters.upper_bounds
    weights = [high - low for low, high in pairwise((0, *bounds))]
    return [
        (choice, 100.0 * weight / bounds[-1])
        for choice, weight in zip(clusters.choices, weights, strict=True)
    ]


def faults_of(route: Route) -> list[FaultSettings]:
    """What a route has go wrong."""
    return [each for each in route.typed_per_filter_config.values() if isinstance(each, FaultSettings)]


def fault_shares(settings: FaultSettings) -> list[tuple[str, Share]]:
    """(`delay` or `abort`, how often)."""
    found = [("delay", settings.delay.share)] if settings.delay is not None else []
    return [*found, ("abort", settings.abort.share)] if settings.abort is not None else found


def percent(share: Share) -> float:
    return 100.0 * share.fraction.numerator / share.fraction.denominator


def is_certain(route: Route | None) -> bool:
    """Whether every request that takes this route fares the same."""
    if route is None:
        return True
    drawn = [percent(share) for each in faults_of(route) for _, share in fault_shares(each)]
    if isinstance(route.action, RouteAction):
        drawn += [share for _, share in shares(route.action)]
    return all(each in (0.0, 100.0) for each in drawn)


def likeliest_draw(route: Route | None) -> int:
    """A number that makes the likeliest thing happen on this route."""
    if route is None:
        return 0
    for value in _values(route):
        if all(_comes_out(share, value) for each in faults_of(route) for _, share in fault_shares(each)):
            return value
    return 0


def _values(route: Route) -> Iterator[int]:
    """Numbers that choose the heaviest cluster."""
    first, step = 0, 1
    if isinstance(route.action, RouteAction) and isinstance(route.action.clusters, WeightedClusters):
        bounds = route.action.clusters.upper_bounds
        weights = [high - low for low, high in pairwise((0, *bounds))]
        heaviest = weights.index(max(weights))
        first, step = bounds[heaviest] - weights[heaviest], bounds[-1]
    stride = step * _STRIDE
    yield from range(first, first + stride * _TRIES, stride)


def _comes_out(share: Share, value: int) -> bool:
    return share.fraction.includes(value) is (percent(share) >= 50.0)
