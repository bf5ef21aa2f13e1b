"""How traffic spreads over priority levels: pure arithmetic on numbers of hosts, in whole percent as Envoy's.

A level's health is its share of healthy hosts times the overprovisioning factor (1.4), at most 100 %. Levels
take what they can bear, first to last; degraded hosts take what healthy ones leave; when levels together
bear less than everything, loads are scaled up. A level with too few hosts left panics and uses all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OVERPROVISIONING_FACTOR_PERCENT = 140
_EVERYTHING = 100


class LevelHosts(NamedTuple):
    """How many hosts a level has. Excluded ones (draining, not yet checked) are in `total`, too."""

    total: int
    healthy: int
    degraded: int = 0
    excluded: int = 0


class Availability(NamedTuple):
    """What each level can bear, in percent of all traffic."""

    healthy: list[int]
    degraded: list[int]

    @property
    def total(self) -> int:
        """All levels together, at most 100."""
        return min(_EVERYTHING, sum(self.healthy) + sum(self.degraded))


class PriorityLoad(NamedTuple):
    """What each level gets, in percent; both lists together add up to 100."""

    healthy: list[int]
    degraded: list[int]

    def choose(self, number: int) -> tuple[int, bool]:
        """(level, whether its degraded hosts are meant) for a number of chance or a hash."""
        left = number % _EVERYTHING + 1
        for loads, degraded in ((self.healthy, False), (self.degraded, True)):
            for level, load in enumerate(loads):
                left -= load
                if left <= 0:
                    return level, degraded
        raise AssertionError("the loads of all levels add up to 100")


class Spread(NamedTuple):
    """The load of each level, and which of them panic."""

    load: PriorityLoad
    panic: list[bool]


def availability(
    levels: Sequence[LevelHosts], factor_percent: int = OVERPROVISIONING_FACTOR_PERCENT
) -> Availability:
    """What each level can bear."""

    def part(number: int, level: LevelHosts) -> int:
        counted = level.total - level.excluded
        return min(_EVERYTHING, factor_percent * number // counted) if counted > 0 else 0

    return Availability(
        [part(level.healthy, level) for level in levels], [part(level.degraded, level) for level in levels]
    )


def spread(
    levels: Sequence[LevelHosts],
    panic_threshold_percent: float = 50.0,
    factor_percent: int = OVERPROVISIONING_FACTOR_PERCENT,
) -> Spread:
    """Loads and panic of all levels; there is at least one level."""
    bearable = availability(levels, factor_percent)
    threshold = min(_EVERYTHING, int(panic_threshold_percent))
    calm = [False] * len(levels)
    total = bearable.total
    if total == 0 and threshold == 0:
        return Spread(_all_to(0, len(levels)), calm)
    panic = calm if total == _EVERYTHING else [_panics(level, threshold) for level in levels]
    if all(panic):
        return Spread(_load_in_total_panic(levels), panic)
    return Spread(_all_to(0, len(levels)) if total == 0 else _distributed(bearable), panic)


def load_without(bearable: Availability, tried: Sequence[bool]) -> PriorityLoad | None:
    """The loads when levels that were tried get nothing; None when nothing is left then."""
    kept = Availability(
        [0 if out else part for part, out in zip(bearable.healthy, tried, strict=True)],
        [0 if out else part for part, out in zip(bearable.degraded, tried, strict=True)],
    )
    available = sum(kept.healthy) + sum(kept.degraded)
    if not available:
        return None
    load = PriorityLoad([0] * len(tried), [0] * len(tried))
    left = _EVERYTHING
    for parts, loads in zip(kept, load, strict=True):
        for level, part in enumerate(parts):
            loads[level] = min(left, part * _EVERYTHING // available)
            left -= loads[level]
    for parts, loads in zip(kept, load, strict=True):
        for level, part in enumerate(parts):
            if part:  # what rounding left over
                loads[level] += left
                return load
    return load


def load_after(bearable: Availability, tried: Sequence[int], update_frequency: int) -> PriorityLoad | None:
    """The loads for a retry after tries at these levels, in order; None: as for a first try.

    Levels are left out after every `update_frequency` tries; once none is left, all are back.
    """
    out = [False] * len(bearable.healthy)
    load: PriorityLoad | None = None
    since: list[int] = []
    for level in tried:
        since.append(level)
        if len(since) % update_frequency:
            continue
        for each in since:
            if each < len(out):
                out[each] = True
        load = load_without(bearable, out)
        if load is None:
            out, since = [False] * len(out), []
            load = load_without(bearable, out)
    return load


def _panics(level: LevelHosts, threshold: int) -> bool:
    counted = level.total - level.excluded
    usable = 100.0 * (level.healthy + level.degraded) / counted if counted > 0 else 0.0
    return usable < threshold


def _distributed(bearable: Availability) -> PriorityLoad:
    total = bearable.total
    healthy, left = _shared_out(bearable.healthy, _EVERYTHING, total)
    degraded, left = _shared_out(bearable.degraded, left, total)
    if left:  # rounding: for the first level that has anybody
        first = next((level for level, part in enumerate(bearable.healthy) if part), None)
        if first is not None:
            healthy[first] += left
        else:
            degraded[next(level for level, part in enumerate(bearable.degraded) if part)] += left
    return PriorityLoad(healthy, degraded)


def _shared_out(parts: Sequence[int], load: int, total: int) -> tuple[list[int], int]:
    """(what each level gets of `load`, what is left of it)."""
    shares = []
    for part in parts:
        share = min(load, part * _EVERYTHING // total)
        shares.append(share)
        load -= share
    return shares, load


def _load_in_total_panic(levels: Sequence[LevelHosts]) -> PriorityLoad:
    """By number of hosts, whatever their health."""
    total = sum(level.total for level in levels)
    if not total:
        return _all_to(0, len(levels))
    loads = [_EVERYTHING * level.total // total for level in levels]
    loads[next(index for index, level in enumerate(levels) if level.total)] += _EVERYTHING - sum(loads)
    return PriorityLoad(loads, [0] * len(levels))


def _all_to(level: int, number: int) -> PriorityLoad:
    return PriorityLoad([_EVERYTHING if each == level else 0 for each in range(number)], [0] * number)
