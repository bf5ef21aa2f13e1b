"""Streams that an access-log service is to be told of: taken note of at once, told later and in batches.

On a request's way this costs an append. What a batch has no room for is counted and lost: a service that is
slow or away must never slow down traffic, nor fill the memory.
"""

from __future__ import annotations

from collections.abc import Callable

from minimesh.data_plane.telemetry.access_log import LogFilter
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.telemetry.stream_info import StreamInfo

_PREFIX = "access_logs.grpc_access_log"


class AccessLogBatch:
    """Finished streams that wait for `take`; `wake` is called when the first of a batch has come."""

    def __init__(self, limit: int, stats: StatsStore, wake: Callable[[], None]) -> None:
        """`limit`: streams held at most."""
        self._limit = limit
        self._wake = wake
        self._waiting: list[StreamInfo] = []
        self.written = stats.counter(f"{_PREFIX}.logs_written")
        self.dropped = stats.counter(f"{_PREFIX}.logs_dropped")

    def add(self, info: StreamInfo) -> None:
        waiting = self._waiting
        if len(waiting) >= self._limit:
            self.dropped.value += 1
            return
        waiting.append(info)
        if len(waiting) == 1:
            self._wake()

    def take(self) -> list[StreamInfo]:
        """What waits, oldest first; nothing waits afterwards."""
        waiting, self._waiting = self._waiting, []
        return waiting


class BatchedAccessLog:
    """An access log whose streams go to a batch."""

    __slots__ = ("_accepts", "_add")

    def __init__(self, batch: AccessLogBatch, accepts: LogFilter | None) -> None:
        self._add = batch.add
        self._accepts = accepts

    def log(self, info: StreamInfo) -> None:
        """Take note of a finished stream, unless the filter declines it."""
        accepts = self._accepts
        if accepts is None or accepts(info):
            self._add(info)
