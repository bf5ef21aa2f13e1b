"""Points in time as kubectl's tables show them: how long ago, in one or two units."""

from __future__ import annotations

from datetime import datetime

from minimesh.config.timestamps import moment

UNKNOWN = "<unknown>"


def age(timestamp: str | None, now: datetime) -> str:
    """How long ago an RFC 3339 timestamp was; `<unknown>` without one."""
    if not timestamp:
        return UNKNOWN
    then = moment(timestamp)
    return UNKNOWN if then is None else human_duration((now - then).total_seconds())


def human_duration(duration_s: float) -> str:
    """`7s`, `3m20s`, `45m`, `5h10m`, `2d3h`, `12d`, `2y30d`: coarser with length, as Kubernetes rounds."""
    seconds = int(duration_s)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"
