"""The limits of a stream in time: on silence, and on how long it may last in all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.grpc_timeout import grpc_timeout_text, is_grpc_call, stream_duration_s

if TYPE_CHECKING:
    from minimesh.data_plane.http.messages import RequestHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.network.timers import Deadline
    from minimesh.data_plane.routing.actions import RouteAction

_DEADLINE_EXCEEDED = 4


def limit_by_route(
    stream: Stream, limits: StreamLimits | None, head: RequestHead, action: RouteAction
) -> StreamLimits | None:
    """`limits`, with what the route says of its own, or the connection manager on the duration."""
    idle_limit_s = action.idle_timeout_s
    if idle_limit_s is not None:
        if limits is not None:
            limits.limit_silence(idle_limit_s)
        elif idle_limit_s:
            limits = StreamLimits(stream, idle_limit_s)
    limit_s = stream_duration_s(head, action, stream.manager.config.max_stream_duration_s)
    if limit_s is None:
        return limits
    if is_grpc_call(head):
        head.set_header("grpc-timeout", grpc_timeout_text(limit_s))
    if limits is None:
        limits = StreamLimits(stream, 0.0)
    limits.limit_duration(limit_s)
    return limits


class StreamLimits:
    """See the module. Seconds; 0: no limit.

    Bytes that have moved since the last look count as life: looking once per limit is enough for minutes.
    """

    __slots__ = ("_duration", "_idle_limit_s", "_seen", "_silence", "_stream")

    def __init__(self, stream: Stream, idle_limit_s: float) -> None:
        self._stream = stream
        #: Bytes received, bytes sent, whether a response has begun. To begin with: nothing but a head.
        self._seen = (0, 0, False)
        self._idle_limit_s = idle_limit_s
        self._duration: Deadline | None = None
        self._silence: Deadline | None = None
        if idle_limit_s:
            self._silence = stream.connection.timers.call_after(idle_limit_s, self._look)

    def limit_silence(self, limit_s: float) -> None:
        """In place of the limit so far."""
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None
        self._idle_limit_s = limit_s
        if limit_s:
            self._silence = self._stream.connection.timers.call_after(limit_s, self._look)

    def limit_duration(self, limit_s: float) -> None:
        """From the beginning of the stream on."""
        stream = self._stream
        left_s = stream.info.started_at + limit_s - stream.connection.loop.time()
        self._duration = stream.connection.timers.call_after(max(left_s, 0.0), self._too_long)

    def cancel(self) -> None:
        """The stream is over."""
        if self._silence is not None:
            self._silence.cancel()
        if self._duration is not None:
            self._duration.cancel()

    def _look(self) -> None:
        stream = self._stream
        seen = (stream.info.bytes_received, stream.info.bytes_sent, stream.response_started)
        if seen != self._seen:
            self._seen = seen
            self._silence = stream.connection.timers.call_after(self._idle_limit_s, self._look)
            return
        stream.manager.stats.rq_idle_timeout.inc()
        stream.info.add_flag("SI")
        if stream.response_started:
            stream.info.response_code_details = "stream_idle_timeout"
            stream.break_off()
        else:
            stream.send_local_reply(stream.timeout_status, b"stream timeout", "stream_idle_timeout")

    def _too_long(self) -> None:
        stream = self._stream
        stream.manager.stats.count("downstream_rq_max_duration_reached")
        if stream.response_started:
            stream.info.response_code_details = "max_duration_timeout"
            stream.break_off()
        else:
            stream.send_local_reply(
                stream.timeout_status,
                b"downstream duration timeout",
                "max_duration_timeout",
                grpc_status=_DEADLINE_EXCEEDED,
            )
