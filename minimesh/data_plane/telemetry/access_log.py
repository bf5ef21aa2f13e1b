"""The access log: formats compiled when configuration arrives, lines written in batches.

(interface first; the compiler follows)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from minimesh.data_plane.telemetry.stream_info import StreamInfo

#: Renders one stream as one log line, with its line end.
Formatter = Callable[[StreamInfo], str]
#: Whether this stream is to be logged at all.
LogFilter = Callable[[StreamInfo], bool]


class LogSink(Protocol):
    """Where lines go."""

    def write(self, line: str) -> None: ...


class AccessLog:
    """One configured access log: who is logged, how, and where to."""

    __slots__ = ("_accepts", "_format", "_write")

    def __init__(self, formatter: Formatter, sink: LogSink, accepts: LogFilter | None = None) -> None:
        self._format = formatter
        self._write = sink.write
        self._accepts = accepts

    def log(self, info: StreamInfo) -> None:
        """Write the line of a finished stream, unless the filter declines it."""
        accepts = self._accepts
        if accepts is None or accepts(info):
            self._write(self._format(info))
