"""The part of a stream that serves its filters: bodies through their stages, and what they hold back.

A stream without filters that look at bodies passes none of this but a test or two. `Stream` completes the
class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minimesh.data_plane.http.filtered_bodies import FilteredBodies, HeldResponse
from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.local_reply import refusal_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.connection_manager import ConnectionManager
    from minimesh.data_plane.http.interfaces import BodyStage, DownstreamConnection, Filter, Upstream
    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.telemetry.stream_info import StreamInfo


class FilteredStream:
    """See the module."""

    __slots__ = (
        "_bodies", "_data", "_end_stream", "_finished", "connection", "filters", "head", "info", "manager",
        "router",
    )  # fmt: skip

    manager: ConnectionManager
    connection: DownstreamConnection
    info: StreamInfo
    head: RequestHead | None
    router: Upstream | None
    filters: tuple[Filter, ...]
    _bodies: FilteredBodies | None
    _data: bytes | bytearray
    _end_stream: bool
    _finished: bool

    def continue_request(self) -> None:
        raise NotImplementedError

    def send_response(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        raise NotImplementedError

    def send_data(self, data: bytes, end_stream: bool, filtered: bool = False) -> None:
        raise NotImplementedError

    def send_local_reply(self, status: int, body: bytes, details: str) -> None:
        raise NotImplementedError

    # --- what filters ask ---

    @property
    def request_has_body(self) -> bool:
        """Whether more than the head belongs to the request; asked in `on_request`."""
        return not self._end_stream or bool(self._data) or (self.head is not None and self.head.block.chunked)

    def add_request_stage(self, stage: BodyStage) -> None:
        """Let the request's body pass through `stage`, from its first byte; asked in `on_request`."""
        self._filtered_bodies().request.add(stage)

    def add_response_stage(self, stage: BodyStage) -> None:
        """Let the response's body pass through `stage`, from its first byte; asked in `on_response`."""
        self._filtered_bodies().response.add(stage)

    def limit_request_buffer(self, limit_bytes: int) -> None:
        """How much of a body is kept for a filter that waits for all of it (else the connection's limit)."""
        self._filtered_bodies().request_limit_bytes = limit_bytes

    def release_request(self, stage: BodyStage, data: bytes, end_stream: bool) -> None:
        """A stage passes on what it had kept."""
        bodies = self._bodies
        passed = None if bodies is None else bodies.request.pass_behind(stage, data, end_stream)
        if passed is None or self._finished:
            return
        self._end_stream = end_stream
        if self.router is not None:
            self.router.on_request_data(passed, end_stream)
        else:
            self._keep(passed)

    def release_response(self, stage: BodyStage, data: bytes, end_stream: bool) -> None:
        """A stage passes on what it had kept."""
        bodies = self._bodies
        if bodies is None:
            return
        passed = bodies.response.pass_behind(stage, data, end_stream)
        if passed is not None and not self._finished and not self._held(bodies, passed, end_stream):
            self.send_data(passed, end_stream, filtered=True)

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call this when the stream is over, however it ends."""
        self._filtered_bodies().at_end.append(callback)

    def pause_response(self, paused: bool) -> None:
        """Take no more of the response from the upstream, or go on."""
        if self.router is not None:
            self.router.on_downstream_writable(not paused)

    def continue_response(self) -> None:
        """Show the response to the filters that have not yet seen it, then send it."""
        bodies = self._bodies
        if bodies is None or bodies.held_response is None or self._finished:
            return
        held, bodies.held_response = bodies.held_response, None
        self.pause_response(False)
        passed = self._filter_response(held)
        if passed is not None:
            self.filters = ()  # they have all seen it
            self.send_response(held.response, *passed)

    # --- the request, while filters are at work ---

    def _filtered_bodies(self) -> FilteredBodies:
        bodies = self._bodies
        if bodies is None:
            bodies = self._bodies = FilteredBodies(self.manager.config.buffer_limit_bytes)
        return bodies

    def _must_wait(self, status: FilterStatus) -> bool:
        """A filter has stopped the request: whether the next one has to wait."""
        until_complete = status is FilterStatus.STOP_UNTIL_COMPLETE
        bodies = self._filtered_bodies() if until_complete else self._bodies
        if bodies is None:
            return True
        if not self._catch_up(bodies) or not until_complete:
            return True
        if self._end_stream and len(self._data) <= bodies.request_limit_bytes:
            return False
        bodies.request_until_complete = True
        self.connection.pause_request(False)
        self._check_completeness(bodies)
        return True

    def _catch_up(self, bodies: FilteredBodies) -> bool:
        """Give new stages what has come so far; False when the stream ended over it."""
        # `on_request` counts what came along with the head only after the filters have seen that.
        self.info.bytes_received = max(self.info.bytes_received, len(self._data))
        passed = bodies.request.catch_up(bytes(self._data), self._end_stream)
        if passed is None:
            self._data, self._end_stream = b"", False
        else:
            self._data = passed
        return not self._finished

    def _keep(self, data: bytes) -> None:
        """A piece of the body while filters are at work."""
        kept = self._data
        if not isinstance(kept, bytearray):
            kept = self._data = bytearray(kept)
        kept += data
        bodies = self._bodies
        if bodies is not None and bodies.request_until_complete:
            self._check_completeness(bodies)
        elif len(kept) > self.manager.config.buffer_limit_bytes:
            self.connection.pause_request(True)

    def _check_completeness(self, bodies: FilteredBodies) -> None:
        if len(self._data) > bodies.request_limit_bytes:
            self.manager.stats.rq_too_large.inc()
            self.send_local_reply(413, refusal_body(413), "request_payload_too_large")
        elif self._end_stream:
            bodies.request_until_complete = False
            self.continue_request()

    # --- the response, on its way through the filters ---

    def _filter_response(self, held: HeldResponse) -> tuple[bytes, bool] | None:
        """Show a response to the filters in front of `held.at`; None when one of them holds it.

        Else what is to be sent of the body now, and whether it is all.
        """
        filters = self.filters
        head_only = held.end_stream and (not held.data or self.info.method == "HEAD")
        while held.at:
            held.at -= 1
            status = filters[held.at].on_response(
                self,  # type: ignore[arg-type]  # it is a Stream: there are no others
                held.response,
                head_only,
            )
            if status is not FilterStatus.CONTINUE and self._response_must_wait(held, status):
                return None
        if self._bodies is not None and not head_only:
            self._catch_up_response(self._bodies, held)
        return bytes(held.data), held.end_stream

    def _response_must_wait(self, held: HeldResponse, status: FilterStatus) -> bool:
        """A filter has stopped the response: whether the next one has to wait."""
        bodies = self._filtered_bodies()
        self._catch_up_response(bodies, held)
        held.until_complete = status is FilterStatus.STOP_UNTIL_COMPLETE
        if held.until_complete and held.end_stream and len(held.data) <= self._response_limit_bytes:
            return False
        bodies.held_response = held
        self._check_held_response(held)
        return True

    def _catch_up_response(self, bodies: FilteredBodies, held: HeldResponse) -> None:
        passed = bodies.response.catch_up(bytes(held.data), held.end_stream)
        if passed is None:
            self._note_kept(held.end_stream)
            held.data, held.end_stream = b"", False
        else:
            held.data = passed

    def _filter_data(self, bodies: FilteredBodies, data: bytes, end_stream: bool) -> bytes | None:
        """A piece of the response's body through its stages; None when it is not to be sent now."""
        passed = bodies.response.pass_through(data, end_stream)
        if passed is None:
            self._note_kept(end_stream)
            return None
        return None if self._held(bodies, passed, end_stream) else passed

    def _held(self, bodies: FilteredBodies, data: bytes, end_stream: bool) -> bool:
        """Whether data has been kept because the response's head has not gone out yet."""
        held = bodies.held_response
        if held is None:
            return False
        if not isinstance(held.data, bytearray):
            held.data = bytearray(held.data)
        held.data += data
        held.end_stream = end_stream
        self._note_kept(end_stream)
        self._check_held_response(held)
        return True

    def _check_held_response(self, held: HeldResponse) -> None:
        too_much = len(held.data) > self._response_limit_bytes
        if not held.until_complete:
            if too_much:
                self.pause_response(True)
        elif too_much:
            self.manager.stats.rs_too_large.inc()
            self.send_local_reply(500, refusal_body(500), "response_payload_too_large")
        elif held.end_stream:
            self.continue_response()

    def _note_kept(self, end_stream: bool) -> None:
        """The upstream has said all, though the client has not got all: its time limits are over."""
        if end_stream and self.router is not None:
            self.router.cancel()

    @property
    def _response_limit_bytes(self) -> int:
        return self.manager.config.buffer_limit_bytes
