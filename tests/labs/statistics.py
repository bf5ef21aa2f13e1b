"""How often something of a known chance may be seen, so that no test of it fails by chance."""

from __future__ import annotations

from math import comb

FALSE_ALARM = 1e-10


def plausible(count: int, chance: float) -> tuple[int, int]:
    """The fewest and the most of `count` tries that a true `chance` explains.

    Outside of it something less likely than `FALSE_ALARM` has happened, on either side.
    """
    chances = [comb(count, k) * chance**k * (1 - chance) ** (count - k) for k in range(count + 1)]
    return _first_above(chances), count - _first_above(chances[::-1])


def _first_above(chances: list[float]) -> int:
    total = 0.0
    for index, each in enumerate(chances):
        total += each
        if total > FALSE_ALARM:
            return index
    return len(chances) - 1
