"""Time stamps of the access log: Envoy's strftime dialect, rendered once a second.

Beyond strftime there are fractions of a second: `%3f` (1 to 9 digits; `%f` is nine), and Abseil's `%E3f` and
`%E3S` (seconds with fraction). `%s` is seconds since the epoch. Nothing but the fraction is worked out again
within a second.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from minimesh.data_plane.telemetry.format_language import FormatError

#: What %START_TIME% prints without an argument, and what the %..._LOCAL% variants do.
DEFAULT_FORMAT = "%Y-%m-%dT%H:%M:%S.%3fZ"
DEFAULT_LOCAL_FORMAT = "%Y-%m-%dT%H:%M:%E3S%z"

_NEWLINE = re.compile(r"%[-_0^#]*[1-9]*[EO]?n")
_SPECIAL = re.compile(
    r"%(?:(?P<plain>[^1-9EfsO])|(?P<digits>[1-9])?f|E(?P<absl>[1-9*])(?P<unit>[fS])|(?P<epoch>s))"
)


class TimeFormat:
    """A compiled time format: call it with seconds since the epoch."""

    __slots__ = (
        "_fractions", "_last", "_last_ms", "_local", "_ms_suffices", "_pattern", "_pieces", "_second",
    )  # fmt: skip

    def __init__(self, text: str = DEFAULT_FORMAT, *, local: bool = False) -> None:
        if _NEWLINE.search(text):
            raise FormatError("Invalid header configuration. Format string contains newline.")
        #: strftime text, and between two pieces of it the number of digits of a fraction
        self._pieces = _split(text)
        self._local = local
        self._second = -1
        #: The text of this second, with a `%` place for each fraction.
        self._pattern = ""
        self._fractions = sum(isinstance(piece, int) for piece in self._pieces)
        #: At thousands of requests a second many begin in one millisecond.
        self._ms_suffices = all(piece <= 3 for piece in self._pieces if isinstance(piece, int))
        self._last_ms = -1
        self._last = ""

    def __call__(self, seconds: float) -> str:
        micros = int(seconds * 1e6 + 0.5)
        if not self._ms_suffices:
            return self._text(micros)
        ms = micros // 1000
        if ms != self._last_ms:
            self._last = self._text(micros)
            self._last_ms = ms
        return self._last

    def _text(self, micros: int) -> str:
        second = micros // 1_000_000
        if second != self._second:
            self._render(second)
        return self._pattern % ((f"{micros % 1_000_000:06d}000",) * self._fractions)

    def _render(self, second: int) -> None:
        moment = datetime.fromtimestamp(second, UTC)
        if self._local:
            moment = moment.astimezone()
        self._pattern = "".join(
            f"%.{piece}s"
            if isinstance(piece, int)
            else moment.strftime(piece.replace("\0", str(second))).replace("%", "%%")
            for piece in self._pieces
        )
        self._second = second


def _split(text: str) -> list[str | int]:
    """Alternate strftime text and fraction digits; NUL stands for the seconds since the epoch."""
    pieces: list[str | int] = []
    plain = ""
    position = 0
    for found in _SPECIAL.finditer(text):
        plain += text[position : found.start()]
        position = found.end()
        if found["plain"] is not None:
            plain += found[0]
            continue
        if found["epoch"]:
            plain += "\0"
            continue
        digits = found["digits"] or (found["absl"] if found["absl"] != "*" else None)
        if found["unit"] == "S":
            plain += "%S."
        pieces += [plain, int(digits) if digits else 9]
        plain = ""
    return [*pieces, plain + text[position:]]
