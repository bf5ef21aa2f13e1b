"""The fault filter: some requests are held up, answered in the upstream's place, or answered slowly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minimesh.data_plane.http.filters.response_throttle import ResponseThrottle
from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.runtime import RuntimeInteger

if TYPE_CHECKING:
    from collections.abc import Callable

    from minimesh.data_plane.http.messages import RequestHead, ResponseHead
    from minimesh.data_plane.http.stream import Stream
    from minimesh.data_plane.routing.actions import HeaderPredicate
    from minimesh.data_plane.runtime import AnyFraction
    from minimesh.data_plane.telemetry.stats import StatsStore

ABORTED = b"fault filter abort"
_DELAY = "x-envoy-fault-delay-request"
_ABORT = "x-envoy-fault-abort-request"
_GRPC_ABORT = "x-envoy-fault-abort-grpc-request"
_THROUGHPUT = "x-envoy-fault-throughput-response"


@dataclass(frozen=True, slots=True)
class Share:
    """How often a fault strikes. `header`, if there is one, may ask for less, never for more."""

    fraction: AnyFraction
    header: str = ""

    def includes(self, stream: Stream) -> bool:
        fraction, head = self.fraction, stream.head
        limit = fraction.numerator
        if self.header and head is not None:
            asked = _number(head, self.header)
            limit = limit if asked is None else min(limit, asked)
        # Drawn anew each time: how a request is routed must not decide whether it fails.
        return stream.manager.random.getrandbits(63) % fraction.denominator < limit


@dataclass(frozen=True, slots=True)
class FaultDelay:
    """How long, and how often."""

    delay_s: float | None
    """None: as long as the request's header says."""
    share: Share
    ruled_ms: RuntimeInteger = field(default_factory=RuntimeInteger)
    """How long instead, where there is a delay at all."""

    def wanted_s(self, head: RequestHead) -> float:
        """0: no delay."""
        delay_s = self.delay_s
        if delay_s is None:
            asked_ms = _number(head, _DELAY)
            if asked_ms is None:
                return 0.0
            delay_s = asked_ms / 1000
        ruled_ms = self.ruled_ms.value
        return delay_s if ruled_ms is None else ruled_ms / 1000


@dataclass(frozen=True, slots=True)
class FaultAbort:
    """Which answer, and how often."""

    status: int | None
    """None: the one that the request's headers ask for."""
    share: Share
    grpc_status: int | None = None
    """Set: this is what a gRPC call is told. Anybody else gets `status`."""
    ruled_status: RuntimeInteger = field(default_factory=RuntimeInteger)
    ruled_grpc_status: RuntimeInteger = field(default_factory=RuntimeInteger)
    """What is answered instead, where there is an abort of that kind at all."""

    def answer(self, head: RequestHead) -> tuple[int, int | None] | None:
        """Status and gRPC status; None: no abort."""
        status, grpc_status = self.status, self.grpc_status
        if status is None:
            status = _number(head, _ABORT)
            if status is None or not _is_status(status):
                status, grpc_status = 200, _number(head, _GRPC_ABORT)
                if grpc_status is None:
                    return None
        if grpc_status is not None:
            return status, self.ruled_grpc_status.over(grpc_status)
        ruled = self.ruled_status.over(status)
        # Envoy would send what is no status.
        return (ruled if _is_status(ruled) else status), None


@dataclass(frozen=True, slots=True)
class FaultRateLimit:
    """How fast a response may go out, and how often."""

    kib_per_s: int | None
    """None: as fast as the request's header says."""
    share: Share

    def wanted_kib_per_s(self, head: RequestHead) -> int:
        """0: no limit."""
        return self.kib_per_s if self.kib_per_s is not None else _number(head, _THROUGHPUT) or 0


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """What is to go wrong, and for which requests: those with all of `headers`, on their way to `cluster`."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    rate_limit: FaultRateLimit | None = None
    headers: tuple[HeaderPredicate, ...] = ()
    cluster: str = ""
    downstream_nodes: frozenset[str] = frozenset()
    """Of x-envoy-downstream-service-node; empty: all."""
    max_active_faults: int | None = None
    ruled_max_active_faults: RuntimeInteger = field(default_factory=RuntimeInteger)

    def concern(self, stream: Stream) -> bool:
        """Whether this request is meant."""
        head, choice = stream.head, stream.choice
        assert head is not None
        if self.cluster and (choice is None or choice.handle.name != self.cluster):
            return False
        if self.downstream_nodes:
            nodes = head.header_values("x-envoy-downstream-service-node")
            if not nodes or nodes[0] not in self.downstream_nodes:
                return False
        return all(header.matches(head, stream.random_value) for header in self.headers)


class FaultFilter:
    """See the module. A route's settings stand in place of the filter's own, never beside them."""

    __slots__ = ("_active", "_overflow", "_prefix", "_settings", "_stats", "by_route", "name")

    def __init__(self, name: str, settings: FaultSettings, stats: StatsStore, stat_prefix: str) -> None:
        self.name = name
        self.by_route = settings.delay is None and settings.abort is None and settings.rate_limit is None
        self._settings = settings
        self._stats = stats
        self._prefix = f"{stat_prefix}fault."
        for word in ("delays_injected", "aborts_injected", "response_rl_injected"):
            stats.counter(self._prefix + word)
        self._overflow = stats.counter(self._prefix + "faults_overflow")
        self._active = stats.gauge(self._prefix + "active_faults")

    def on_request(self, stream: Stream) -> FilterStatus:
        own = stream.filter_config(self.name)
        settings = own if isinstance(own, FaultSettings) else self._settings
        head = stream.head
        if head is None or not settings.concern(stream):
            return FilterStatus.CONTINUE
        fault = _Fault(stream, head, settings)
        if settings.rate_limit is not None:
            self._limit_rate(fault, settings.rate_limit)
        delay = settings.delay
        if delay is not None and delay.share.includes(stream):
            delay_s = delay.wanted_s(head)
            if delay_s > 0 and self._begin(fault):
                self._count(fault, "delays_injected")
                stream.info.add_flag("DI")
                stream.wait(delay_s, self._after_delay(fault))
                return FilterStatus.STOP
        return FilterStatus.STOP if self._aborted(fault) else FilterStatus.CONTINUE

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        kib_per_s = stream.filter_state.get(self.name) if stream.filter_state else None
        if isinstance(kib_per_s, int) and not end_stream:
            stream.add_response_stage(ResponseThrottle(stream, kib_per_s))
        return FilterStatus.CONTINUE

    def _limit_rate(self, fault: _Fault, limit: FaultRateLimit) -> None:
        stream = fault.stream
        if not limit.share.includes(stream):
            return
        kib_per_s = limit.wanted_kib_per_s(fault.head)
        if kib_per_s and self._begin(fault):
            self._count(fault, "response_rl_injected")
            stream.filter_state = {**(stream.filter_state or {}), self.name: kib_per_s}

    def _after_delay(self, fault: _Fault) -> Callable[[], None]:
        def go_on() -> None:
            if not self._aborted(fault):
                fault.stream.continue_request()

        return go_on

    def _aborted(self, fault: _Fault) -> bool:
        """Whether the request has been answered here."""
        abort, stream = fault.settings.abort, fault.stream
        if abort is None or not abort.share.includes(stream):
            return False
        answer = abort.answer(fault.head)
        if answer is None or not self._begin(fault):
            return False
        self._count(fault, "aborts_injected")
        stream.info.add_flag("FI")
        status, grpc_status = answer
        stream.send_local_reply(status, ABORTED, "fault_filter_abort", grpc_status=grpc_status)
        return True

    def _begin(self, fault: _Fault) -> bool:
        """Count this stream as faulty, once and until it ends; False where there are enough of them."""
        if fault.active:
            return True
        limit = fault.settings.max_active_faults
        ruled = fault.settings.ruled_max_active_faults.value
        if ruled is not None:
            limit = ruled
        if limit is not None and self._active.value >= limit:
            self._overflow.inc()
            return False
        fault.active = True
        self._active.inc()
        fault.stream.at_end(self._active.dec)
        return True

    def _count(self, fault: _Fault, word: str) -> None:
        self._stats.counter(self._prefix + word).inc()


class _Fault:
    """What happens to one stream."""

    __slots__ = ("active", "head", "settings", "stream")

    def __init__(self, stream: Stream, head: RequestHead, settings: FaultSettings) -> None:
        self.stream = stream
        self.head = head
        self.settings = settings
        self.active = False


def _is_status(status: int) -> bool:
    return 200 <= status < 600


def _number(head: RequestHead, name: str) -> int | None:
    """A header that is a whole number."""
    values = head.header_values(name)
    value = values[0] if values else ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
