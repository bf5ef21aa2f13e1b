"""The fault filter: a share of the requests is held up, a share is answered in the upstream's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minimesh.data_plane.http.interfaces import FilterStatus

if TYPE_CHECKING:
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.actions import Fraction, HeaderPredicate
    from minimesh.data_plane.telemetry.stats import StatsStore

ABORTED = b"fault filter abort"


@dataclass(frozen=True, slots=True)
class FaultDelay:
    """How long, and how often."""

    delay_s: float
    share: Fraction


@dataclass(frozen=True, slots=True)
class FaultAbort:
    """Which answer, and how often."""

    status: int
    share: Fraction
    grpc_status: int | None = None
    """Set: this is what a gRPC call is told. Anybody else gets `status`."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """What is to go wrong, and for which requests: those with all of `headers`, on their way to `cluster`."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    headers: tuple[HeaderPredicate, ...] = ()
    cluster: str = ""

    def concern(self, stream: Stream) -> bool:
        """Whether this request is meant."""
        head, choice = stream.head, stream.choice
        assert head is not None
        if self.cluster and (choice is None or choice.handle.name != self.cluster):
            return False
        return all(header.matches(head, stream.random_value) for header in self.headers)


class FaultFilter:
    """See the module. A route's settings stand in place of the filter's own, never beside them."""

    __slots__ = ("_aborts_injected", "_delays_injected", "_settings", "by_route", "name")

    def __init__(self, name: str, settings: FaultSettings, stats: StatsStore, stat_prefix: str) -> None:
        self.name = name
        self.by_route = settings.delay is None and settings.abort is None
        self._settings = settings
        self._delays_injected = stats.counter(f"{stat_prefix}fault.delays_injected")
        self._aborts_injected = stats.counter(f"{stat_prefix}fault.aborts_injected")

    def on_request(self, stream: Stream) -> FilterStatus:
        own = stream.filter_config(self.name)
        settings = own if isinstance(own, FaultSettings) else self._settings
        if not settings.concern(stream):
            return FilterStatus.CONTINUE
        delay = settings.delay
        if delay is not None and _falls_on(delay.share, stream):
            self._delays_injected.inc()
            stream.info.add_flag("DI")
            stream.wait(delay.delay_s, lambda: self._go_on(stream, settings))
            return FilterStatus.STOP
        return FilterStatus.STOP if self._aborted(stream, settings) else FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: object, end_stream: bool) -> FilterStatus:
        """Responses pass."""
        return FilterStatus.CONTINUE

    def _go_on(self, stream: Stream, settings: FaultSettings) -> None:
        """The delay is over."""
        if not self._aborted(stream, settings):
            stream.continue_request()

    def _aborted(self, stream: Stream, settings: FaultSettings) -> bool:
        """Whether the request has been answered here."""
        abort = settings.abort
        if abort is None or not _falls_on(abort.share, stream):
            return False
        self._aborts_injected.inc()
        stream.info.add_flag("FI")
        stream.send_local_reply(abort.status, ABORTED, "fault_filter_abort", grpc_status=abort.grpc_status)
        return True


def _falls_on(share: Fraction, stream: Stream) -> bool:
    # Drawn anew each time: how a request is routed must not decide whether it fails.
    return share.includes(stream.manager.random.getrandbits(63))
