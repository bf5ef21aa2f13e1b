"""The health check filter: answers those who ask whether this proxy is well, in the upstream's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.messages import ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.actions import HeaderPredicate
    from minimesh.data_plane.telemetry.stats import StatsStore


class HealthCheckFilter:
    """See the module. Requests with all of `headers` are health checks; without any, all are."""

    __slots__ = (
        "_failed", "_fails", "_headers", "_node_cluster", "_ok", "_request_total", "_traced",
        "by_route", "name",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        headers: tuple[HeaderPredicate, ...],
        fails: Callable[[], bool],
        node_cluster: str,
        stats: StatsStore,
        stat_prefix: str,
    ) -> None:
        self.name = name
        self.by_route = False
        self._headers = headers
        self._fails = fails
        self._node_cluster = node_cluster
        self._request_total = stats.counter(f"{stat_prefix}health_check.request_total")
        self._ok = stats.counter(f"{stat_prefix}health_check.ok")
        self._failed = stats.counter(f"{stat_prefix}health_check.failed")
        self._traced = stats.counter(f"{stat_prefix}tracing.health_check")

    def on_request(self, stream: Stream) -> FilterStatus:
        head = stream.head
        assert head is not None
        if not all(header.matches(head, stream.random_value) for header in self._headers):
            return FilterStatus.CONTINUE
        stream.info.health_check = True
        stream.filter_state = {**(stream.filter_state or {}), self.name: True}
        self._request_total.inc()
        self._traced.inc()
        stream.at_end(lambda: _uncount(stream))
        if stream.request_has_body:
            stream.add_request_stage(_AnswerAtTheEnd(self, stream))
            return FilterStatus.STOP
        self.answer(stream)
        return FilterStatus.STOP

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        if stream.filter_state and self.name in stream.filter_state:
            if self._fails():
                response.set_header("x-envoy-immediate-health-check-fail", "true")
            response.set_header("x-envoy-upstream-healthchecked-cluster", self._node_cluster)
        return FilterStatus.CONTINUE

    def answer(self, stream: Stream) -> None:
        """The request is complete."""
        if self._fails():
            self._failed.inc()
            stream.send_local_reply(503, b"", "health_check_failed")
        else:
            self._ok.inc()
            stream.send_local_reply(200, b"", "health_check_ok")


class _AnswerAtTheEnd:
    """A health check's body is read and dropped."""

    __slots__ = ("_filter", "_stream")

    def __init__(self, filter_: HealthCheckFilter, stream: Stream) -> None:
        self._filter = filter_
        self._stream = stream

    def on_data(self, data: bytes, end_stream: bool) -> None:
        if end_stream:
            self._filter.answer(self._stream)


def _uncount(stream: Stream) -> None:
    """Health checks are not among the responses that a connection manager counts."""
    status = stream.info.response_code
    if status:
        stream.manager.stats.rq_by_class[status // 100 - 1].value -= 1
