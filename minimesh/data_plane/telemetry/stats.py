"""Counters, gauges and histograms under Envoy's names, and the text that the admin API shows of them.

An object is looked up by name when configuration arrives and kept; a request only calls `inc` or `record` on
it, or adds to `.value`. Nothing here is locked: a proxy has one thread. Prometheus labels are taken out of
the names when they are shown, as Envoy's tag extractors do, so the hot path knows only plain names.
"""

from __future__ import annotations

import math
from collections.abc import Callable

#: Envoy's default histogram bounds; the unit is that of the histogram (milliseconds for times).
BUCKET_BOUNDS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000,
    3600000,
)  # fmt: skip
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1.0)


class Counter:
    """A number that only grows. `used` (Envoy's sense: was ever touched) is `value > 0`."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        self.value += amount

    @property
    def used(self) -> bool:
        return self.value > 0


class Sum:
    """A counter that nobody counts: worked out from others when it is shown. `less` are taken off."""

    __slots__ = ("less", "name", "parts")

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[Counter | Sum] = []
        self.less: list[Counter | Sum] = []

    @property
    def value(self) -> int:
        return sum(each.value for each in self.parts) - sum(each.value for each in self.less)

    @property
    def used(self) -> bool:
        return self.value > 0

    def add(self, *parts: Counter | Sum) -> Sum:
        """Count these too, each once however often it is added."""
        self.parts += [each for each in parts if each not in self.parts]
        return self

    def take_off(self, *less: Counter | Sum) -> Sum:
        """Count these no longer."""
        self.less += [each for each in less if each not in self.less]
        return self


class Gauge:
    """A number that goes up and down."""

    __slots__ = ("_touched", "name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0
        self._touched = False

    def inc(self, amount: int = 1) -> None:
        self._touched = True
        self.value += amount

    def touch(self) -> None:
        """Count as used from now on: for those who will change `value` directly, once for each request."""
        self._touched = True

    def dec(self, amount: int = 1) -> None:
        self.value -= amount

    def set(self, value: int) -> None:
        self._touched = True
        self.value = value

    @property
    def used(self) -> bool:
        return self._touched or self.value != 0


class ComputedGauge(Gauge):
    """A gauge whose number stands elsewhere: worked out when somebody reads it, so nobody has to keep it."""

    __slots__ = ("_read",)

    def __init__(self, name: str, read: Callable[[], int]) -> None:
        self.name = name
        self._read = read

    @property
    def value(self) -> int:  # type: ignore[override]
        return self._read()

    @property
    def used(self) -> bool:
        return True


#: Values that are bins of their own: whole milliseconds, mostly.
_WHOLE_EDGES = frozenset(range(100))


class Histogram:
    """A distribution kept to two significant digits, so its memory is bounded however long it runs.

    A value below 100 costs one look-up in a dict; the quantiles are worked out when somebody asks.
    """

    __slots__ = ("bins", "count", "name", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.total = 0.0
        #: lower edge of the bin -> number of values in it
        self.bins: dict[float, int] = {}

    def record(self, value: float) -> None:
        """Add one value (not negative), in the unit of the histogram."""
        edge = value if value in _WHOLE_EDGES else _lower_edge(value)
        bins = self.bins
        bins[edge] = bins.get(edge, 0) + 1
        self.count += 1
        self.total += value

    @property
    def used(self) -> bool:
        return self.count > 0

    def quantile(self, q: float) -> float:
        """The value below which the share `q` (0 to 1) of all values lies; NaN when there are none."""
        if not self.count:
            return math.nan
        wanted = q * self.count
        seen = 0
        for edge in sorted(self.bins):
            here = self.bins[edge]
            if seen + here >= wanted:
                share = max(0.0, (wanted - seen) / here)
                return edge + share * _bin_width(edge)
            seen += here
        raise AssertionError("the bins hold fewer values than were counted")

    def cumulative_count(self, bound: float) -> int:
        """How many values were at most `bound`, by bin."""
        return sum(number for edge, number in self.bins.items() if edge < bound)


def _lower_edge(value: float) -> float:
    if value <= 0:
        return 0.0
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / scale + 1e-9) * scale


def _bin_width(edge: float) -> float:
    if edge <= 0:
        return 0.0
    return 10.0 ** (math.floor(math.log10(edge) + 1e-12) - 1) if edge >= 10 or edge < 1 else 0.1


Metric = Counter | Sum | Gauge | Histogram


class StatsStore:
    """All metrics of one proxy by full name ("cluster.gs.upstream_rq_total")."""

    __slots__ = ("counters", "gauges", "hidden", "histograms", "sums")

    def __init__(self) -> None:
        self.counters: dict[str, Counter] = {}
        self.sums: dict[str, Sum] = {}
        #: Counters that are only parts of sums: never shown.
        self.hidden: dict[str, Counter] = {}
        self.gauges: dict[str, Gauge] = {}
        self.histograms: dict[str, Histogram] = {}

    def counter(self, name: str) -> Counter:
        """The counter of this name, made at the first call."""
        found = self.counters.get(name)
        if found is None:
            found = self.counters[name] = Counter(name)
        return found

    def sum(self, name: str) -> Sum:
        """The sum of this name, made at the first call, of nothing."""
        found = self.sums.get(name)
        if found is None:
            found = self.sums[name] = Sum(name)
        return found

    def hidden_counter(self, name: str) -> Counter:
        """A counter that is shown only as part of sums."""
        found = self.hidden.get(name)
        if found is None:
            found = self.hidden[name] = Counter(name)
        return found

    def gauge(self, name: str) -> Gauge:
        found = self.gauges.get(name)
        if found is None:
            found = self.gauges[name] = Gauge(name)
        return found

    def computed_gauge(self, name: str, read: Callable[[], int]) -> None:
        """Show what `read` returns under this name; takes the place of one of the same name."""
        self.gauges[name] = ComputedGauge(name, read)

    def histogram(self, name: str) -> Histogram:
        found = self.histograms.get(name)
        if found is None:
            found = self.histograms[name] = Histogram(name)
        return found

    def remove(self, prefix: str) -> None:
        """Forget every metric whose name starts with `prefix` (a cluster or listener that is gone)."""
        for table in (self.counters, self.sums, self.hidden, self.gauges, self.histograms):
            for name in [name for name in table if name.startswith(prefix)]:
                del table[name]

    def reset_counters(self) -> None:
        """Set every counter to zero (POST /reset_counters)."""
        for counter in (*self.counters.values(), *self.hidden.values()):
            counter.value = 0
