"""What an HTTP/2 client may not do, how much, and for how long; and how a connection ends in good order."""

from __future__ import annotations

import asyncio
import os
import tracemalloc

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from minimesh.data_plane.network.http2_options import Http2Options
from tests.data_plane.http.http2_client import Headers, Http2Client, http2_client, request
from tests.data_plane.http.lab import Lab, lab, until
from tests.data_plane.http.test_http2_downstream import ROUTES
from tests.data_plane.http.test_streaming import before

PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM = 1, 2, 7, 11
NO_STREAM_YET = 2**31 - 1
INVALID, VIOLATION = "http2.invalid.header.field", "http2.violation.of.messaging.rule"
PSEUDO = request()


@pytest.mark.parametrize(
    ("headers", "details"),
    [
        (request("/", "GET", ("te", "gzip")), INVALID),
        (request("/", "GET", ("connection", "close")), INVALID),
        (request("/", "GET", ("keep-alive", "1")), INVALID),
        (request("/", "GET", ("proxy-connection", "1")), INVALID),
        (request("/", "POST", ("transfer-encoding", "chunked")), INVALID),
        (request("/", "GET", ("upgrade", "x")), INVALID),
        (request("/", "GET", ("X-A", "x")), INVALID),
        (request("/", "GET", ("", "x")), INVALID),
        (request("/", "GET", ("a b", "x")), INVALID),
        (request("/", "GET", ("x-a", "x\ny")), INVALID),
        (request("/", "GET", ("x-a", "x\0y")), INVALID),
        (request("/", "GET", ("x-a", "x\x01y")), INVALID),
        (request("/", "GET", ("host", "a b")), INVALID),
        (request("/", "GET", ("content-length", "3"), ("content-length", "3")), INVALID),
        (request("/", "GET", ("content-length", "x")), INVALID),
        (request("/", "POST", ("content-length", "5")), VIOLATION),
        ([*PSEUDO, (":path", "/b")], INVALID),
        ([*PSEUDO, (":foo", "/b")], INVALID),
        ([*PSEUDO[:3], ("a", "b"), PSEUDO[3]], INVALID),
        (PSEUDO[1:], VIOLATION),
        ([PSEUDO[0], *PSEUDO[2:]], VIOLATION),
        ([*PSEUDO[:2], PSEUDO[3]], VIOLATION),
        (PSEUDO[:3], VIOLATION),
        (request(""), INVALID),
        (request("abc"), VIOLATION),
        (request("*"), VIOLATION),
        (request("http://h/x"), VIOLATION),
        (request("/a b"), INVALID),
        (request("/", "G T"), INVALID),
        (request("/", "CONNECT"), VIOLATION),
        ([*PSEUDO, (":protocol", "websocket")], INVALID),
        (request(authority=""), INVALID),
        (request(authority="a@b"), INVALID),
        (request(authority="a/b"), INVALID),
    ],
)
async def test_a_malformed_request_ends_the_connection(headers: Headers, details: str) -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        client.headers(headers)
        await client.until(lambda: bool(client.goaways))
        assert client.goaways == [(1, PROTOCOL_ERROR)]
        assert f'"- - HTTP/2" 0 DPE {details} ' in await running.log.next()
        assert not running.upstream.requests
        assert running.stats.counter("http.ingress.downstream_cx_protocol_error").value == 1
        assert running.stats.counter("http2.rx_messaging_error").value == 1


async def test_or_its_stream_alone_where_so_configured() -> None:
    options = Http2Options(stream_error_on_invalid_message=True)
    async with lab(ROUTES, http2=options) as running, http2_client(running) as client:
        assert (await client.ask(request("/", "GET", ("te", "gzip")))).reset == PROTOCOL_ERROR
        stream_id = client.headers(request("/", "POST"), end=False)
        client.headers([(":x-t", "1")], stream_id=stream_id)
        assert (await client.response(stream_id)).reset == PROTOCOL_ERROR
        assert (await client.ask(request("/direct"))).status == "200"


@pytest.mark.parametrize("sent", [b"abcd", b"ab"])
async def test_a_body_of_another_length_ends_its_stream(sent: bytes) -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        answer = await client.ask(request("/", "POST", ("content-length", "3")), sent)
        assert answer.reset == PROTOCOL_ERROR
        assert '"POST / HTTP/2" 0 DPE http2.remote_reset ' in await running.log.next()
        assert (await client.ask(request("/direct"))).status == "200"


async def test_too_many_or_too_large_headers_end_their_stream() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        many = client.headers(request("/", "GET", *((f"x-{n}", "y") for n in range(101))))
        assert (await client.response(many)).reset == INTERNAL_ERROR
        assert " DR http2.too_many_headers " in await running.log.next()
        large = client.large_headers(
            request("/", "GET", *((f"x-{n}", os.urandom(3500).hex()) for n in range(10)))
        )
        assert (await client.response(large)).reset == INTERNAL_ERROR
        assert " DR http2.header_list_size_too_large " in await running.log.next()
        assert (await client.ask(request("/direct"))).status == "200"


async def test_more_streams_than_allowed() -> None:
    options = Http2Options(max_concurrent_streams=2)
    async with lab(ROUTES, http2=options) as running:
        async with http2_client(running) as unaware:
            ids = [unaware.headers(request("/delay/0.05")) for _ in range(3)]
            assert (await unaware.response(ids[2])).reset == REFUSED_STREAM
            assert (await unaware.response(ids[0])).status == "200"
        async with http2_client(running, acknowledge=True) as aware:
            for _ in range(3):
                aware.headers(request("/delay/5"))
            await aware.until(lambda: bool(aware.goaways))
            assert aware.goaways == [(3, PROTOCOL_ERROR)]


async def test_frames_before_settings_are_refused() -> None:
    async with lab(ROUTES) as running:
        plain = await running.client()
        plain.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + PingFrame(0, b"12345678").serialize())
        client = Http2Client(plain.reader, plain.writer)
        await client.until(lambda: bool(client.goaways))
        assert client.goaways == [(0, PROTOCOL_ERROR)]
        plain.close()


# Floods: the connection is closed, and what is kept until then has a bound.


async def survives(running: Lab, frames: list[Frame], code: int) -> None:
    """Send a flood; the connection is closed for `code`, little memory is held, others are served."""
    raw = b"".join(frame.serialize() for frame in frames)
    async with http2_client(running) as client:
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        client.writer.write(raw)
        await client.until(lambda: bool(client.goaways))
        held_bytes = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert client.goaways[0][1] == code
        assert held_bytes < 4 * 1024 * 1024 + 2 * len(raw)
        await client.until_closed()
    async with http2_client(running) as other:
        assert (await other.ask(request("/direct"))).status == "200"
    assert running.stats.gauge("http.ingress.downstream_rq_active").value == 0


def first_headers(headers: Headers, *, end: bool, complete: bool = True) -> HeadersFrame:
    """The first HEADERS frame of a connection."""
    flags = (["END_STREAM"] if end else []) + (["END_HEADERS"] if complete else [])
    return HeadersFrame(1, Encoder().encode(headers), flags=flags)


async def test_rapid_resets() -> None:
    async with lab(ROUTES, delayed_close_timeout_s=0.01) as running:
        encoder = Encoder()
        flags = ["END_HEADERS", "END_STREAM"]
        frames: list[Frame] = []
        for stream_id in range(1, 1201, 2):
            frames.append(HeadersFrame(stream_id, encoder.encode(request("/delay/5")), flags=flags))
            frames.append(RstStreamFrame(stream_id, 8))
        await survives(running, frames, ENHANCE_YOUR_CALM)
        assert running.stats.counter("http.ingress.downstream_rq_too_many_premature_resets").value == 1
        assert running.stats.counter("http2.rx_reset").value == 250
        assert not running.upstream.requests  # taken back before they were passed on


async def test_continuations_without_end() -> None:
    async with lab(ROUTES, delayed_close_timeout_s=0.01) as running:
        first = first_headers(request(), end=True, complete=False)
        more = [ContinuationFrame(1, b"\0\x01a\x7f\x09" + b"b" * 136) for _ in range(3000)]
        await survives(running, [first, *more], PROTOCOL_ERROR)


async def test_continuations_larger_than_any_head() -> None:
    async with lab(ROUTES, delayed_close_timeout_s=0.01) as running:
        first = first_headers(request(), end=True, complete=False)
        more = [ContinuationFrame(1, b"\0" * 16384) for _ in range(20)]
        await survives(running, [first, *more], ENHANCE_YOUR_CALM)
        assert running.stats.counter("http2.header_overflow").value == 1


async def test_a_head_that_only_compression_makes_small() -> None:
    async with lab(ROUTES, delayed_close_timeout_s=0.01) as running:
        large = first_headers([*request(), ("x", "y" * 3000)], end=True)
        bomb = HeadersFrame(3, b"\xbe" * 16000, flags=["END_HEADERS", "END_STREAM"])  # the entry, 16000 times
        await survives(running, [large, bomb], ENHANCE_YOUR_CALM)


@pytest.mark.parametrize(
    ("frames", "counter"),
    [
        ([PingFrame(0, b"12345678")] * 20_000, "outbound_control_flood"),
        ([SettingsFrame(0, {3: 1})] * 20_000, "outbound_control_flood"),
        ([PriorityFrame(1, depends_on=0, stream_weight=1)] * 1000, "inbound_priority_frames_flood"),
        ([WindowUpdateFrame(0, 1)] * 1000, "inbound_window_update_frames_flood"),
        ([first_headers(request("/", "POST"), end=False)] + [DataFrame(1)] * 5, "inbound_empty_frames_flood"),
    ],
    ids=["ping", "settings", "priority", "window update", "empty data"],
)
async def test_frames_that_cost_us_more_than_the_client(frames: list[Frame], counter: str) -> None:
    async with lab(ROUTES, delayed_close_timeout_s=0.01) as running:
        await survives(running, frames, ENHANCE_YOUR_CALM)
        assert running.stats.counter(f"http2.{counter}").value == 1


async def test_pings_are_no_flood_as_long_as_the_answers_are_read() -> None:
    async with lab(ROUTES) as running, http2_client(running) as client:
        for _ in range(30):
            client.send(*[PingFrame(0, b"12345678")] * 100)
            count = len(client.frames)
            await client.until(lambda seen=count: len(client.frames) >= seen + 90)  # type: ignore[misc]
        assert not client.goaways


# Flow control


async def test_a_response_waits_for_windows_and_the_upstream_for_the_response() -> None:
    sent = 0
    size = 8 * 1024 * 1024

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        while sent < size:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()
        await reader.read()

    async with before(serve) as running, http2_client(running) as client:
        stream_id = client.headers(request())
        answer = client.on(stream_id)
        await client.until(lambda: len(answer.body) == 65535)
        client.give_window(100_000, stream_id)
        client.give_window(50_000)
        await client.until(lambda: len(answer.body) == 65535 + 50_000)
        assert sent < size  # held back
        client.give_window(size, stream_id)
        client.give_window(size)
        await client.until(lambda: answer.ended)
        assert len(answer.body) == size


async def test_responses_share_what_room_there_is() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        await reader.read()

    async with before(serve) as running, http2_client(running, {4: 1_000_000}) as client:
        answers = [client.on(client.headers(request())) for _ in range(4)]
        await client.until(lambda: sum(len(answer.body) for answer in answers) == 65535)
        before_more = [len(answer.body) for answer in answers]
        await until(lambda: running.stats.gauge("cluster.up.upstream_rq_active").value == 0)  # all is there
        client.give_window(4 * 16384)
        await client.until(lambda: sum(len(answer.body) for answer in answers) == 65535 + 4 * 16384)
        more = [len(answer.body) - had for answer, had in zip(answers, before_more, strict=True)]
        assert more == [16384] * 4


async def test_a_request_waits_for_the_upstream() -> None:
    size = 8 * 1024 * 1024
    taken = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await taken.wait()
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    small = Http2Options(initial_stream_window_bytes=16 * 1024 * 1024, initial_connection_window_bytes=65535)
    async with before(serve, http2=small) as running, http2_client(running) as client:
        stream_id = client.headers(request("/", "POST", ("content-length", str(size))), end=False)
        sent = 0

        def window() -> int:
            return 65535 + sum(more for to, more in client.window_updates if not to) - sent

        async def push() -> None:
            nonlocal sent
            while sent < size:
                await client.until(lambda: window() > 0)
                piece = min(window(), 16384, size - sent)
                client.data(stream_id, b"x" * piece, end=sent + piece == size)
                sent += piece

        pushing = asyncio.create_task(push())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await asyncio.shield(pushing)
        assert sent < size  # what the upstream does not take is not asked for
        taken.set()
        await pushing
        assert (await client.response(stream_id)).status == "200"


async def test_a_client_that_does_not_take_the_rest_is_reset() -> None:
    async with lab(ROUTES, stream_idle_timeout_s=0.05) as running, http2_client(running, {4: 3}) as client:
        answer = await client.ask(request("/direct"))
        assert (answer.body, answer.ended, answer.reset) == (b"dir", False, INTERNAL_ERROR)
        assert running.stats.counter("http2.tx_flush_timeout").value == 1


# Time, and the end


async def test_a_request_that_takes_too_long() -> None:
    async with lab(ROUTES, request_timeout_s=0.03) as running, http2_client(running) as client:
        stream_id = client.headers(request("/", "POST"), end=False)
        answer = await client.response(stream_id)
        assert (answer.status, answer.body) == ("408", b"request timeout")
        assert " 408 - request_overall_timeout " in await running.log.next()
        assert (await client.ask(request("/direct"))).status == "200"


async def test_a_head_that_takes_too_long() -> None:
    async with lab(ROUTES, request_headers_timeout_s=0.03) as running, http2_client(running) as client:
        client.send(first_headers(request(), end=True, complete=False))
        await client.until(lambda: bool(client.goaways))
        assert client.goaways == [(0, ENHANCE_YOUR_CALM)]


async def test_an_idle_stream_and_one_that_lasts_too_long() -> None:
    async with lab(ROUTES, stream_idle_timeout_s=0.03) as running, http2_client(running) as client:
        answer = await client.ask(request("/delay/5"))
        assert (answer.status, answer.body) == ("504", b"stream timeout")
    async with lab(ROUTES, max_stream_duration_s=0.03) as running, http2_client(running) as client:
        answer = await client.ask(request("/delay/5"))
        assert (answer.status, answer.body) == ("504", b"downstream duration timeout")
        assert " 504 - max_duration_timeout " in await running.log.next()
        incomplete = client.headers(request("/", "POST"), end=False)
        assert (await client.response(incomplete)).status == "408"
        call = await client.ask(request("/delay/5", "POST", ("content-type", "application/grpc")), b"")
        assert call.headers["grpc-status"] == "4"
        assert running.stats.counter("http.ingress.downstream_rq_max_duration_reached").value == 3


@pytest.mark.parametrize(
    "limit",
    [{"max_connection_duration_s": 0.03}, {"idle_timeout_s": 0.03}, {"max_requests_per_connection": 1}],
)
async def test_a_connection_ends_in_two_steps(limit: dict[str, float]) -> None:
    async with lab(ROUTES, drain_timeout_s=0.05, **limit) as running, http2_client(running) as client:
        assert (await client.ask(request("/direct"))).status == "200"
        await client.until(lambda: len(client.goaways) == 1)
        assert client.goaways == [(NO_STREAM_YET, 0)]
        assert (await client.ask(request("/direct"))).status == "200"  # it did not know yet
        await client.until(lambda: len(client.goaways) == 2)
        assert client.goaways[1] == (3, 0)


async def test_drain_lets_streams_finish() -> None:
    async with (
        lab(ROUTES, drain_timeout_s=0.03, delayed_close_timeout_s=0.01) as running,
        http2_client(running) as busy,
        http2_client(running) as idle,
    ):
        await idle.ask(request("/direct"))
        slow = busy.headers(request("/delay/0.1"))
        await running.upstream.request_came()
        running.listener.drain()
        await idle.until_closed()
        assert idle.goaways == [(1, 0)]
        await busy.until(lambda: len(busy.goaways) == 2)
        assert busy.goaways == [(NO_STREAM_YET, 0), (1, 0)]
        late = busy.headers(request("/direct"))
        assert (await busy.response(late)).reset == REFUSED_STREAM
        assert (await busy.response(slow)).status == "200"
        await busy.until_closed()


async def test_http1_connections_have_a_longest_duration_too() -> None:
    async with lab(ROUTES, max_connection_duration_s=0.03, drain_timeout_s=0.05) as running:
        unused, used = await running.client(), await running.client()
        used.send("GET /direct HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "connection: close" not in await used.response()
        assert await unused.rest() == ""
        counter = running.stats.counter("http.ingress.downstream_cx_max_duration_reached")
        await until(lambda: counter.value == 2)
        used.send("GET /direct HTTP/1.1\r\nHost: h\r\n\r\n")
        assert "connection: close" in await used.response()
        unused.close()
        used.close()
