"""What the filters of one stream do with its bodies, and what they hold back.

Made for a stream when its first filter wants to see a body, stops at a head until the body is complete, or
wants to know when the stream is over; streams without such a filter have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.interfaces import BodyStage
    from minimesh.data_plane.http.messages import ResponseHead


class BodyPipe:
    """The stages of one body, in the order in which data passes them. A stage keeps what it holds back."""

    __slots__ = ("_filled", "_stages")

    def __init__(self) -> None:
        self._stages: list[BodyStage] = []
        #: How many stages have had the data that came before they were added.
        self._filled = 0

    def add(self, stage: BodyStage) -> None:
        """One more, behind the others."""
        self._stages.append(stage)

    def pass_through(self, data: bytes, end_stream: bool) -> bytes | None:
        """A new piece of the body, through all stages; None: one of them keeps it."""
        return self._run(0, data, end_stream)

    def catch_up(self, data: bytes, end_stream: bool) -> bytes | None:
        """What was kept so far, through the stages added since the last call."""
        first, self._filled = self._filled, len(self._stages)
        return self._run(first, data, end_stream) if data or end_stream else data

    def pass_behind(self, stage: BodyStage, data: bytes, end_stream: bool) -> bytes | None:
        """What `stage` had held back, through the stages behind it."""
        return self._run(self._stages.index(stage) + 1, data, end_stream)

    def _run(self, first: int, data: bytes, end_stream: bool) -> bytes | None:
        for stage in self._stages[first:]:
            passed = stage.on_data(data, end_stream)
            if passed is None:
                return None
            data = passed
        return data


class HeldResponse:
    """A response on its way through the filters, and what has come of its body.

    The filters from `at` on have seen it.
    """

    __slots__ = ("at", "data", "end_stream", "response", "until_complete")

    def __init__(self, response: ResponseHead, data: bytes, end_stream: bool, at: int) -> None:
        self.response = response
        self.data: bytes | bytearray = data
        self.end_stream = end_stream
        self.at = at
        self.until_complete = False


class FilteredBodies:
    """Both directions of one stream."""

    __slots__ = (
        "at_end", "held_response", "request", "request_limit_bytes", "request_until_complete", "response",
    )  # fmt: skip

    def __init__(self, request_limit_bytes: int) -> None:
        self.request = BodyPipe()
        self.response = BodyPipe()
        #: How much of a request may be kept for a filter that waits for all of it.
        self.request_limit_bytes = request_limit_bytes
        self.request_until_complete = False
        self.held_response: HeldResponse | None = None
        #: Called when the stream is over.
        self.at_end: list[Callable[[], object]] = []

    def forget_response(self) -> None:
        """Another response takes the place of the one that filters have held."""
        self.held_response = None
        self.response = BodyPipe()
