"""How long changes wait for others to come along: istiod's settings, by istiod's environment variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.config.durations import parse_duration
from minimesh.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

AFTER = "PILOT_DEBOUNCE_AFTER"
MAX = "PILOT_DEBOUNCE_MAX"
ENDPOINTS = "PILOT_ENABLE_EDS_DEBOUNCE"
_ISTIODS = {AFTER: 0.1, MAX: 10.0}
"""Seconds that hold in istiod where its environment says nothing."""
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}
"""What Go reads as one."""

_log = get_logger("discovery")


@dataclass(frozen=True, slots=True)
class Debounce:
    """A push starts once nothing changed for `quiet_s`, or `limit_s` after the first change.

    Unless `endpoints_wait`, pods that come, go or change start one at once.
    """

    quiet_s: float = 0.006
    """Long enough for the several events of one save, short beside the 100 ms in which a save must arrive."""
    limit_s: float = 0.05
    endpoints_wait: bool = True

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Debounce:
        """What the variables say. One of the two periods makes istiod's own hold for the other.

        What cannot be read is logged and counts as not given, as in istiod.
        """
        endpoints_wait = _boolean(environment, ENDPOINTS)
        given = {name: seconds for name in _ISTIODS if (seconds := _seconds(environment, name)) is not None}
        if not given:
            return cls(endpoints_wait=endpoints_wait)
        periods = _ISTIODS | given
        # istiod looks at the limit only after each quiet period.
        limit_s = max(periods[MAX], periods[AFTER])
        return cls(periods[AFTER], limit_s, endpoints_wait)


def _seconds(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if text is None:
        return None
    duration = parse_duration(text)
    if duration is None:
        _log.warning(
            "invalid environment variable", name=name, value=text, expected="a duration, as in 100ms"
        )
        return None
    return max(0.0, duration.total_seconds())


def _boolean(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "true")
    if text not in _BOOLEANS:
        _log.warning("invalid environment variable", name=name, value=text, expected="true or false")
    return _BOOLEANS.get(text, True)
