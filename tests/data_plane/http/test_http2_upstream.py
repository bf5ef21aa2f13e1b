"""HTTP/2 towards upstreams, from acquiring an exchange to its end: real sockets, a scripted upstream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    WindowUpdateFrame,
)

from minimesh.data_plane.http.header_block import EMPTY_BLOCK, Field, HeaderBlock
from minimesh.data_plane.http.http2.exchange import HIGH_WATER_BYTES
from minimesh.data_plane.http.http2.upstream import connect_http2
from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import PreparedHeaders, RequestHead, ResponseHead
from minimesh.data_plane.network.http2_options import Http2Options
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.upstream.circuit_breakers import ClusterResources
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings
from minimesh.data_plane.upstream.cluster_stats import ClusterStats
from minimesh.data_plane.upstream.connection_pool import PoolFailure
from minimesh.data_plane.upstream.host import Host, HostSpec
from minimesh.data_plane.upstream.multiplexed_pool import MultiplexedPool
from tests.data_plane.http.scripted_http2 import Peer, ScriptedHttp2Upstream, Seen


def request(
    path: str, fields: Sequence[Field] = (), method: str = "GET", block: HeaderBlock = EMPTY_BLOCK
) -> RequestHead:
    return RequestHead(method, path, "up.example", "http", block, PreparedHeaders(tuple(fields), -1, "c:1"))


class Receiver:
    """Sends one request and notes what comes back."""

    def __init__(
        self, head: RequestHead, data: bytes = b"", *, end: bool = True, upgrade: bool = False
    ) -> None:
        self.head, self.data, self.end, self.upgrade = head, data, end, upgrade
        self.exchange: Any = None
        self.response: ResponseHead | None = None
        self.body = b""
        self.trailers: Sequence[Field] = ()
        self.ended = False
        self.reset: ResetReason | None = None
        self.failure: PoolFailure | None = None
        self.continued = False
        self.writable: list[bool] = []
        #: The calls by which it was told, in order.
        self.calls: list[str] = []
        self._changed = asyncio.Event()

    def on_pool_ready(self, exchange: Any, host: Host) -> None:
        self.exchange = exchange
        exchange.start(self, self.head, self.data, self.end, self.upgrade)
        self._changed.set()

    def on_pool_failure(self, failure: PoolFailure, transport_reason: str, host: Host) -> None:
        self.failure = failure
        self._changed.set()

    def on_continue(self) -> None:
        self.continued = True

    def on_response_head(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        self.response = response
        self._note("head", data, end_stream)

    def on_response_data(self, data: bytes, end_stream: bool) -> None:
        self._note("data", data, end_stream)

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        self.trailers = fields
        self._note("trailers", b"", True)

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        self.reset = reason
        self._note("reset", b"", True)

    def on_upstream_writable(self, writable: bool) -> None:
        self.writable.append(writable)
        self._changed.set()

    def _note(self, call: str, data: bytes, end: bool) -> None:
        assert not self.ended, "told after the end"
        self.calls.append(call)
        self.body += data
        self.ended = end
        self._changed.set()

    async def until(self, holds: Callable[[], bool]) -> Receiver:
        async with asyncio.timeout(2):
            while not holds():
                self._changed.clear()
                await self._changed.wait()
        return self

    async def done(self) -> Receiver:
        return await self.until(lambda: self.ended or self.failure is not None)

    @property
    def status(self) -> int | None:
        return None if self.response is None else self.response.status

    def header(self, name: str) -> Sequence[str]:
        assert self.response is not None
        return self.response.header_values(name)


class Lab:
    """An upstream and a pool of connections to it."""

    def __init__(self) -> None:
        self.upstream = ScriptedHttp2Upstream()
        self.stats = StatsStore()
        self.pool: MultiplexedPool
        self.options: dict[str, Any] = {}
        self.settings: dict[str, Any] = {}

    async def start(self, announced: dict[SettingCodes, int] | None = None) -> Lab:
        self.upstream.settings.update(announced or {})
        await self.upstream.start()
        settings = ClusterSettings(
            "c", connect_http2=connect_http2, http2_options=Http2Options(**self.options), **self.settings
        )
        resources = ClusterResources(settings, ClusterStats(self.stats, "c"))
        self.pool = MultiplexedPool(Host(HostSpec("127.0.0.1", self.upstream.port)), resources)
        return self

    def send(self, head: RequestHead | str, data: bytes = b"", **more: Any) -> Receiver:
        receiver = Receiver(request(head) if isinstance(head, str) else head, data, **more)
        exchange = self.pool.acquire(receiver)
        if exchange is not None:
            receiver.on_pool_ready(exchange, self.pool.host)
        return receiver

    async def ask(self, head: RequestHead | str, data: bytes = b"", **more: Any) -> Receiver:
        return await self.send(head, data, **more).done()

    @property
    def peer(self) -> Peer:
        return self.upstream.peers[-1]

    def seen(self) -> Seen:
        return self.upstream.requests[-1]

    def count(self, name: str) -> int:
        return int(self.stats.counter(f"cluster.c.{name}").value)

    async def stop(self) -> None:
        for connection in list(self.pool.connections):
            connection.close()
        await self.upstream.stop()
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = Lab()
    yield made
    await made.stop()


# --- requests ------------------------------------------------------------------------------------------


async def test_a_request_in_the_words_of_http2(lab: Lab) -> None:
    await lab.start()
    fields = (
        ("te", "trailers"),
        ("x-a", "1"),
        ("x-a", "\xe4"),
        ("content-length", "3"),
        ("cookie", "a=1; b=2"),
    )
    answer = await lab.ask(request("/p?q", fields, "POST"), b"abc")
    assert (answer.status, answer.body) == (200, b"/p?q")
    assert sorted(lab.seen().headers) == sorted(
        [(":method", "POST"), (":scheme", "http"), (":path", "/p?q"), (":authority", "up.example"), *fields]
    )
    assert (lab.seen().body, lab.seen().ended) == (b"abc", True)


async def test_a_body_in_pieces_with_trailers(lab: Lab) -> None:
    await lab.start()
    receiver = lab.send(request("/p", method="POST"), b"one ", end=False)
    await lab.upstream.until(lambda: bool(lab.upstream.requests))
    receiver.exchange.send_data(b"two", False)
    receiver.exchange.send_trailers((("x-t", "1"),))
    assert (await receiver.done()).status == 200
    assert (lab.seen().body, lab.seen().trailers) == (b"one two", [("x-t", "1")])


async def test_the_end_of_a_body_may_come_alone(lab: Lab) -> None:
    await lab.start()
    receiver = lab.send(request("/p", method="POST"), b"one", end=False)
    await lab.upstream.until(lambda: bool(lab.upstream.requests))
    receiver.exchange.send_data(b"", True)
    assert (await receiver.done()).status == 200
    assert lab.seen().body == b"one"


async def test_many_exchanges_share_one_connection(lab: Lab) -> None:
    await lab.start()
    answers = await asyncio.gather(*(lab.ask(f"/p/{number}") for number in range(50)))
    assert [each.body for each in answers] == [f"/p/{number}".encode() for number in range(50)]
    assert len(lab.upstream.peers) == 1
    assert lab.pool.connections.copy().pop().active == 0


async def test_a_websocket_by_extended_connect(lab: Lab) -> None:
    await lab.start()
    lab.upstream.scripts["!/ws"] = lambda peer, seen: peer.head(seen, "200", [("sec-websocket-accept", "x")])
    lab.upstream.on_data = lambda peer, seen, data: peer.data(seen, b"echo:" + data)
    block = HeaderBlock((), {"upgrade": "websocket"})
    fields = (("connection", "upgrade"), ("upgrade", "websocket"))
    receiver = lab.send(request("/ws", fields, block=block), end=False, upgrade=True)
    await receiver.until(lambda: receiver.response is not None)
    assert receiver.status == 101
    assert receiver.header("upgrade") == ["websocket"]
    assert receiver.header("connection") == ["upgrade"]
    receiver.exchange.send_data(b"ping", False)
    await receiver.until(lambda: receiver.body == b"echo:ping")
    assert (lab.seen().header(":method"), lab.seen().header(":protocol")) == ("CONNECT", "websocket")
    assert lab.seen().header("upgrade") is None


async def test_an_upgrade_that_is_declined_is_an_answer(lab: Lab) -> None:
    await lab.start()
    lab.upstream.scripts["!/no"] = lambda peer, seen: peer.head(seen, "403", end=True)
    block = HeaderBlock((), {"upgrade": "websocket"})
    answer = await lab.ask(request("/no", block=block), end=False, upgrade=True)
    assert answer.status == 403


# --- responses -----------------------------------------------------------------------------------------


async def test_a_response_is_told_in_one_call_when_it_came_in_one_piece(lab: Lab) -> None:
    await lab.start()

    def answer(peer: Peer, seen: Seen) -> None:
        headers = HeadersFrame(seen.stream_id, data=peer.h2.encoder.encode([(":status", "200")]))
        headers.flags.add("END_HEADERS")
        data = DataFrame(seen.stream_id, data=b"ok")
        data.flags.add("END_STREAM")
        peer.transport.write(headers.serialize() + data.serialize())

    lab.upstream.scripts["/one"] = answer
    receiver = await lab.ask("/one")
    assert (receiver.calls, receiver.body) == (["head"], b"ok")


async def test_trailers_end_a_response(lab: Lab) -> None:
    await lab.start()
    answer = await lab.ask("/trailers/5")
    assert answer.trailers == (("grpc-status", "5"), ("x-trailer", "1"))
    assert answer.body == b"payload"
    assert answer.calls[-1] == "trailers"


async def test_a_response_that_is_only_a_head(lab: Lab) -> None:
    await lab.start()
    answer = await lab.ask("/grpc/14")
    assert (answer.calls, answer.header("grpc-status")) == (["head"], ["14"])
    assert (await lab.ask(request("/x", method="HEAD"))).calls == ["head"]
    assert (await lab.ask("/status/204")).status == 204


async def test_informational_responses_end_here_but_100(lab: Lab) -> None:
    await lab.start()
    early = await lab.ask("/informational/103")
    assert (early.status, early.body, early.continued) == (200, b"ok", False)
    assert (await lab.ask("/informational/100")).continued


@pytest.mark.parametrize(
    "what",
    [
        "no-status", "bad-status", "status-99", "status-600", "status-1000", "two-statuses", "late-status",
        "request-pseudo", "upper-case", "connection", "transfer-encoding", "line-break", "nul", "empty-name",
        "blank-name", "lengths", "bad-length", "101", "upgrade", "huge",
    ],
)  # fmt: skip
async def test_a_malformed_response_is_a_protocol_error_and_ends_the_connection(lab: Lab, what: str) -> None:
    await lab.start()
    bystander = lab.send("/hang")
    answer = await lab.ask(f"/malformed/{what}")
    assert answer.reset is ResetReason.PROTOCOL_ERROR
    assert (await bystander.done()).reset is ResetReason.PROTOCOL_ERROR
    await lab.upstream.until(lambda: lab.upstream.peers[0].closed)
    assert (await lab.ask("/p")).status == 200  # on a new connection
    assert len(lab.upstream.peers) == 2


async def test_a_malformed_response_ends_its_stream_alone_where_configured(lab: Lab) -> None:
    lab.options["stream_error_on_invalid_message"] = True
    await lab.start()
    answer = await lab.ask("/malformed/upper-case")
    assert answer.reset is ResetReason.PROTOCOL_ERROR
    assert (await lab.ask("/p")).status == 200
    assert len(lab.upstream.peers) == 1


async def test_too_many_headers_end_the_stream_alone(lab: Lab) -> None:
    await lab.start()
    assert (await lab.ask("/malformed/many")).reset is ResetReason.REMOTE_RESET
    assert lab.count("http2.header_overflow") == 1
    assert (await lab.ask("/p")).status == 200
    assert len(lab.upstream.peers) == 1


@pytest.mark.parametrize("path", ["/short", "/long"])
async def test_a_body_that_is_not_as_long_as_announced(lab: Lab, path: str) -> None:
    await lab.start()
    answer = await lab.ask(path)
    assert (answer.status, answer.reset) == (200, ResetReason.PROTOCOL_ERROR)


# --- ends ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ErrorCodes.NO_ERROR, ResetReason.REMOTE_RESET),
        (ErrorCodes.PROTOCOL_ERROR, ResetReason.PROTOCOL_ERROR),
        (ErrorCodes.INTERNAL_ERROR, ResetReason.REMOTE_RESET),
        (ErrorCodes.REFUSED_STREAM, ResetReason.REMOTE_REFUSED_STREAM),
        (ErrorCodes.CANCEL, ResetReason.REMOTE_RESET),
        (ErrorCodes.ENHANCE_YOUR_CALM, ResetReason.REMOTE_RESET),
    ],
)
async def test_a_stream_that_is_reset(lab: Lab, code: ErrorCodes, reason: ResetReason) -> None:
    await lab.start()
    assert (await lab.ask(f"/rst/{code.value}")).reset is reason
    assert (await lab.ask("/p")).status == 200
    assert len(lab.upstream.peers) == 1
    assert lab.count("http2.rx_reset") == 1


async def test_a_stream_that_is_reset_after_its_head(lab: Lab) -> None:
    await lab.start()
    answer = await lab.ask("/rst-after/8")
    assert (answer.status, answer.body, answer.reset) == (200, b"half", ResetReason.REMOTE_RESET)


async def test_a_connection_that_closes_ends_all_exchanges(lab: Lab) -> None:
    await lab.start()
    bystander = lab.send("/hang")
    assert (await lab.ask("/close")).reset is ResetReason.CONNECTION_TERMINATION
    assert (await bystander.done()).reset is ResetReason.CONNECTION_TERMINATION
    assert lab.count("upstream_cx_destroy_remote_with_active_rq") == 1
    assert lab.count("upstream_rq_pending_failure_eject") == 2


async def test_an_exchange_that_is_given_up_is_reset_and_the_connection_lives_on(lab: Lab) -> None:
    await lab.start()
    receiver = lab.send("/hang")
    await lab.upstream.until(lambda: bool(lab.upstream.requests))
    receiver.exchange.abandon()
    await lab.upstream.until(lambda: lab.upstream.requests[0].reset is not None)
    assert lab.upstream.requests[0].reset == ErrorCodes.INTERNAL_ERROR
    assert (await lab.ask("/p")).status == 200
    assert not receiver.calls
    assert lab.count("http2.tx_reset") == 1


async def test_a_response_before_the_end_of_the_request_resets_the_rest(lab: Lab) -> None:
    await lab.start()
    lab.upstream.scripts["!/early"] = lambda peer, seen: peer.head(seen, "413", end=True)
    answer = await lab.ask(request("/early", method="POST"), b"part", end=False)
    assert answer.status == 413
    answer.exchange.send_data(b"more", True)  # too late: goes nowhere
    await lab.upstream.until(lambda: lab.seen().reset is not None)
    assert lab.seen().body == b"part"
    assert (await lab.ask("/p")).status == 200


async def test_goaway_refuses_what_was_not_looked_at_and_lets_the_rest_finish(lab: Lab) -> None:
    await lab.start()
    slow = lab.send("/hang")
    refused = await lab.ask("/goaway-below")
    assert refused.reset is ResetReason.REMOTE_REFUSED_STREAM
    assert not slow.ended
    assert (await lab.ask("/p")).status == 200
    assert len(lab.upstream.peers) == 2  # nothing new on the first
    first = lab.upstream.peers[0]
    first.raw_head(lab.upstream.requests[0], [(":status", "200")], "END_STREAM")
    assert (await slow.done()).status == 200
    await lab.upstream.until(lambda: first.closed)
    assert lab.count("upstream_cx_close_notify") == 1


async def test_goaway_and_the_answer_in_one_segment(lab: Lab) -> None:
    await lab.start()
    assert (await lab.ask("/goaway-and-answer")).status == 200


async def test_an_idle_connection_that_gets_goaway_closes(lab: Lab) -> None:
    await lab.start()
    await lab.ask("/p")
    lab.peer.goaway_at(1)
    await lab.upstream.until(lambda: lab.upstream.peers[0].closed)
    assert (await lab.ask("/p")).status == 200


# --- how much --------------------------------------------------------------------------------------------


async def test_no_more_exchanges_than_the_peer_takes(lab: Lab) -> None:
    await lab.start({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    await lab.ask("/p")  # it has told us now
    slow = [lab.send("/hang") for _ in range(2)]
    third = await lab.ask("/third")
    assert third.status == 200
    assert [each.connection for each in lab.upstream.requests] == [0, 0, 0, 1]
    for receiver in slow:
        receiver.exchange.abandon()


async def test_no_more_exchanges_than_configured(lab: Lab) -> None:
    lab.options["max_concurrent_streams"] = 1
    await lab.start()
    await asyncio.gather(*(lab.ask("/p") for _ in range(3)))
    assert len(lab.upstream.peers) == 3


async def test_a_large_response_passes_the_windows(lab: Lab) -> None:
    lab.options.update(initial_stream_window_bytes=65_535, initial_connection_window_bytes=65_535)
    await lab.start()
    answer = await lab.ask("/big/1000000")
    assert len(answer.body) == 1_000_000


async def test_a_response_that_nobody_takes_is_held_back_by_its_window(lab: Lab) -> None:
    lab.options.update(initial_stream_window_bytes=65_535, initial_connection_window_bytes=1_000_000)
    await lab.start()
    receiver = lab.send("/big/200000")
    await receiver.until(lambda: receiver.exchange is not None)
    receiver.exchange.pause_reading(True)
    await receiver.until(lambda: len(receiver.body) == 65_535)
    assert (await lab.ask("/big/100000")).ended  # others go on
    assert len(receiver.body) == 65_535
    receiver.exchange.pause_reading(False)
    assert len((await receiver.done()).body) == 200_000


async def test_given_up_bytes_do_not_keep_the_connections_window(lab: Lab) -> None:
    lab.options.update(initial_stream_window_bytes=65_535, initial_connection_window_bytes=65_535)
    await lab.start()
    for _ in range(3):
        receiver = lab.send("/big/60000000")
        await receiver.until(lambda receiver=receiver: receiver.exchange is not None)
        receiver.exchange.pause_reading(True)
        await receiver.until(lambda receiver=receiver: len(receiver.body) > 30_000)
        receiver.exchange.abandon()
    assert len((await lab.ask("/big/200000")).body) == 200_000


async def test_a_large_request_waits_for_the_upstreams_window_and_the_client_is_told(lab: Lab) -> None:
    await lab.start()
    lab.upstream.reads_bodies = False
    size = 3 * HIGH_WATER_BYTES
    receiver = lab.send(request("/p", method="POST"), b"x" * size, end=False)
    await receiver.until(lambda: receiver.writable == [False])
    await lab.upstream.until(lambda: len(lab.upstream.requests) == 1 and len(lab.seen().body) == 65_535)
    lab.upstream.reads_bodies = True
    peer, seen = lab.peer, lab.seen()
    peer.h2.acknowledge_received_data(65_535, seen.stream_id)
    peer.flush()
    await receiver.until(lambda: receiver.writable == [False, True])
    receiver.exchange.send_data(b"end", True)
    assert (await receiver.done()).status == 200
    assert len(seen.body) == size + 3


# --- limits and clocks -----------------------------------------------------------------------------------


async def test_keepalive_asks_and_is_content_with_an_answer(lab: Lab) -> None:
    lab.options.update(keepalive_interval_s=0.01, keepalive_timeout_s=1.0)
    await lab.start()
    await lab.ask("/p")
    await lab.upstream.until(lambda: lab.peer.pinged >= 3)
    assert not lab.peer.closed


async def test_a_peer_that_does_not_answer_is_given_up(lab: Lab) -> None:
    lab.options.update(keepalive_interval_s=0.01, keepalive_timeout_s=0.02)
    lab.upstream.answers_nothing = True
    await lab.start()
    answer = await lab.ask("/p")
    assert answer.reset is ResetReason.CONNECTION_TERMINATION
    assert lab.count("http2.keepalive_timeout") == 1


_FULL = b"x" * 16384


def _head() -> Frame:
    return HeadersFrame(1, data=b"\x88", flags=["END_HEADERS"])


def _ping() -> Frame:
    return PingFrame(0, opaque_data=b"12345678")


@pytest.mark.parametrize(
    ("frames", "counter"),
    [
        ([_head(), DataFrame(1), DataFrame(1)], "inbound_empty_frames_flood"),
        ([PriorityFrame(1, depends_on=0)] * 300, "inbound_priority_frames_flood"),
        ([WindowUpdateFrame(0, window_increment=1)] * 30, "inbound_window_update_frames_flood"),
        ([HeadersFrame(1, data=b"\x88"), *[ContinuationFrame(1)] * 5], "inbound_empty_frames_flood"),
        ([HeadersFrame(1, data=_FULL), *[ContinuationFrame(1, data=_FULL)] * 4], "header_overflow"),
        ([DataFrame(1, data=b"x" * 16385)], ""),
        ([_ping() for _ in range(1100)], "outbound_control_flood"),
        (
            [PushPromiseFrame(1, promised_stream_id=2, data=b"\x82", flags=["END_HEADERS"])],
            "",
        ),
        ([ContinuationFrame(1, data=b"x", flags=["END_HEADERS"])], "rx_messaging_error"),
    ],
    ids=[
        "empty", "priority", "window updates", "empty continuations", "endless headers", "too long", "pings",
        "push", "stray continuation",
    ],
)  # fmt: skip
async def test_an_upstream_that_floods_us_is_left(lab: Lab, frames: list[Frame], counter: str) -> None:
    await lab.start()

    def flood(peer: Peer, seen: Seen) -> None:
        peer.transport.write(b"".join(frame.serialize() for frame in frames))

    lab.upstream.scripts["/flood"] = flood
    assert (await lab.ask("/flood")).reset is ResetReason.PROTOCOL_ERROR
    # What is wrong in a frame that is no head is counted by its connection alone.
    assert lab.count(f"http2.{counter or 'rx_messaging_error'}") == bool(counter)
    assert lab.count("upstream_cx_protocol_error") == 1
    await lab.upstream.until(lambda: lab.peer.closed)


async def test_an_upstream_that_speaks_http1(lab: Lab) -> None:
    await lab.start()
    await lab.upstream.stop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", lab.upstream.port)
    assert (await lab.ask("/p")).reset is ResetReason.PROTOCOL_ERROR
    server.close()


# --- turns -----------------------------------------------------------------------------------------------


async def test_requests_of_one_turn_go_out_in_one_write(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    await lab.start()
    await lab.ask("/p")
    connection = next(iter(lab.pool.connections))
    writes: list[bytes] = []

    class Counting:
        def __init__(self, transport: Any) -> None:
            self._transport = transport

        def write(self, data: bytes) -> None:
            writes.append(data)
            self._transport.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._transport, name)

    connection._transport = Counting(connection._transport)
    await asyncio.gather(*(lab.ask(request("/p", method="POST"), b"body") for _ in range(5)))
    assert writes[0].count(b"body") == 5


async def test_no_task_is_made_for_an_exchange(lab: Lab) -> None:
    await lab.start()
    await lab.ask("/p")
    before = len(asyncio.all_tasks())
    receivers = [lab.send("/hang") for _ in range(20)]
    assert len(asyncio.all_tasks()) == before
    for receiver in receivers:
        receiver.exchange.abandon()
