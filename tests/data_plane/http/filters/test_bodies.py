"""What filters may do with bodies: look, change, hold, wait for all of it, answer; and who is asked first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from minimesh.data_plane.http.filtered_bodies import BodyPipe
from minimesh.data_plane.http.interfaces import FilterStatus
from minimesh.data_plane.http.messages import ResponseHead
from minimesh.data_plane.http.stream import Stream
from tests.data_plane.http.filters.chains import body_of, chunked, header, post, request, routes, status_of
from tests.data_plane.http.lab import Lab, lab, until

CONTINUE, STOP, UNTIL_COMPLETE = FilterStatus


class Probe:
    """A filter that does what the test says, and notes what it saw."""

    by_route = False

    def __init__(
        self,
        name: str,
        on_request: Callable[[Stream], FilterStatus] = lambda stream: CONTINUE,
        on_response: Callable[[Stream, ResponseHead], FilterStatus] = lambda stream, response: CONTINUE,
        seen: list[str] | None = None,
    ) -> None:
        self.name = name
        self._request = on_request
        self._response = on_response
        self.seen = [] if seen is None else seen

    def on_request(self, stream: Stream) -> FilterStatus:
        self.seen.append(f"{self.name} request")
        return self._request(stream)

    def on_response(self, stream: Stream, response: ResponseHead, end_stream: bool) -> FilterStatus:
        self.seen.append(f"{self.name} response{' that is a head only' if end_stream else ''}")
        return self._response(stream, response)


class Upper:
    """A stage that changes data without changing its length."""

    def __init__(self) -> None:
        self.pieces: list[tuple[bytes, bool]] = []

    def on_data(self, data: bytes, end_stream: bool) -> bytes:
        self.pieces.append((data, end_stream))
        return data.upper()


class Hold:
    """A stage that keeps everything until it is told to let go."""

    def __init__(self) -> None:
        self.kept = b""
        self.ended = False

    def on_data(self, data: bytes, end_stream: bool) -> None:
        self.kept += data
        self.ended = end_stream


class TestRequests:
    async def test_a_stage_changes_the_body_on_its_way(self) -> None:
        stage = Upper()

        def add(stream: Stream) -> FilterStatus:
            stream.add_request_stage(stage)
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", add),)) as running:
            await running.ask(chunked("/x", "abc", "def"))
            assert "ABC" in body_of(running.upstream.requests[0])
            assert b"".join(piece for piece, _ in stage.pieces) == b"abcdef"
            assert stage.pieces[-1][1]

    async def test_stages_work_one_after_the_other(self) -> None:
        def tag(letter: bytes) -> Callable[[Stream], FilterStatus]:
            class Tag:
                def on_data(self, data: bytes, end_stream: bool) -> bytes:
                    return data + letter

            def add(stream: Stream) -> FilterStatus:
                assert stream.head is not None
                stream.head.set_body_length(-1)
                stream.add_request_stage(Tag())
                return CONTINUE

            return add

        filters = (Probe("a", tag(b"1")), Probe("b", tag(b"2")))
        async with lab(routes(), http_filters=filters) as running:
            await running.ask(post("/x", "abc"))
            assert "5\r\nabc12\r\n0\r\n\r\n" in running.upstream.requests[0]

    async def test_what_a_stage_keeps_goes_on_when_it_says_so(self) -> None:
        stage = Hold()
        streams: list[Stream] = []

        def hold(stream: Stream) -> FilterStatus:
            streams.append(stream)
            stream.add_request_stage(stage)
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", hold),)) as running:
            client = await running.client()
            client.send(post("/x", "abc"))
            await until(lambda: stage.ended)
            await running.upstream.request_came()
            streams[0].release_request(stage, stage.kept, True)
            assert status_of(await client.response()) == "200"
            assert running.upstream.requests[0].endswith("abc")
            client.close()

    async def test_a_filter_that_waits_for_all_lets_the_next_see_the_head_only_then(self) -> None:
        seen: list[str] = []
        first = Probe("first", lambda stream: UNTIL_COMPLETE, seen=seen)
        async with lab(routes(), http_filters=(first, Probe("second", seen=seen))) as running:
            client = await running.client()
            client.send(post("/x", "abcdef")[:-3])
            await until(lambda: bool(seen))
            assert seen == ["first request"]
            client.send("def")
            assert status_of(await client.response()) == "200"
            assert seen[:2] == ["first request", "second request"]
            assert running.upstream.requests[0].endswith("abcdef")
            client.close()

    async def test_more_than_may_be_kept_is_refused(self) -> None:
        async with lab(
            routes(), http_filters=(Probe("a", lambda stream: UNTIL_COMPLETE),), buffer_limit_bytes=10
        ) as running:
            assert status_of(await running.ask(post("/x", "a" * 10))) == "200"
            answer = await running.ask(post("/x", "a" * 11))
            assert answer.startswith("HTTP/1.1 413 Payload Too Large\r\n")
            assert header(answer, "connection") == ["close"]
            await running.log.next()
            assert ' 413 - request_payload_too_large - "-" 11 17 ' in await running.log.next()
            assert running.stats.counter("http.ingress.downstream_rq_too_large").value == 1

    async def test_a_stage_may_answer(self) -> None:
        class Refuse:
            def __init__(self, stream: Stream) -> None:
                self.stream = stream

            def on_data(self, data: bytes, end_stream: bool) -> None:
                self.stream.send_local_reply(400, b"no", "refused")

        def add(stream: Stream) -> FilterStatus:
            stream.add_request_stage(Refuse(stream))
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", add),)) as running:
            assert body_of(await running.ask(post("/x", "abc"))) == "no"
            assert running.upstream.requests == []

    @pytest.mark.parametrize(
        ("raw", "has_body"), [(request("GET /x"), False), (post("/x", "a"), True), (chunked("/x"), True)]
    )
    async def test_a_filter_knows_whether_a_body_comes(self, raw: str, has_body: bool) -> None:
        found: list[bool] = []

        def note(stream: Stream) -> FilterStatus:
            found.append(stream.request_has_body)
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", note),)) as running:
            await running.ask(raw)
        assert found == [has_body]


def _add(stage: object) -> Callable[[Stream, ResponseHead], FilterStatus]:
    def add(stream: Stream, response: ResponseHead) -> FilterStatus:
        stream.add_response_stage(stage)  # type: ignore[arg-type]
        return CONTINUE

    return add


class TestResponses:
    @pytest.mark.parametrize("path", ["/x", "/direct"])
    async def test_a_stage_changes_the_body_on_its_way(self, path: str) -> None:
        async with lab(routes(), http_filters=(Probe("a", on_response=_add(Upper())),)) as running:
            body = body_of(await running.ask(request(f"GET {path}")))
            assert body
            assert body == body.upper()

    async def test_heads_without_a_body_never_meet_a_stage(self) -> None:
        stage, seen = Upper(), list[str]()
        async with lab(routes(), http_filters=(Probe("a", on_response=_add(stage), seen=seen),)) as running:
            client = await running.client()
            for line in ("HEAD /x", "HEAD /direct", "GET /nobody"):
                client.send(request(line))
                await client.response(head=True)
            client.close()
        assert stage.pieces == []
        assert seen[1::2] == ["a response that is a head only"] * 3

    async def test_a_filter_may_hold_a_response_until_all_of_it_is_there(self) -> None:
        class Measure:
            def __init__(self, response: ResponseHead) -> None:
                self.response = response
                self.length = 0

            def on_data(self, data: bytes, end_stream: bool) -> bytes:
                self.length += len(data)
                if end_stream:
                    self.response.set_body_length(self.length)
                return data

        def hold(stream: Stream, response: ResponseHead) -> FilterStatus:
            stream.add_response_stage(Measure(response))
            return UNTIL_COMPLETE

        async with lab(routes(), http_filters=(Probe("a", on_response=hold),)) as running:
            answer = await running.ask(request("GET /chunked"))
            assert header(answer, "content-length") == ["11"]
            assert body_of(answer) == "hello world"

    async def test_a_response_too_large_to_be_held_becomes_a_500_that_no_filter_sees(self) -> None:
        probe = Probe("a", on_response=lambda stream, response: UNTIL_COMPLETE)
        async with lab(routes(), http_filters=(probe,), buffer_limit_bytes=5) as running:
            answer = await running.ask(request("GET /chunked"))
            assert answer.startswith("HTTP/1.1 500 Internal Server Error\r\n")
            assert " 500 - response_payload_too_large " in await running.log.next()
            assert running.stats.counter("http.ingress.rs_too_large").value == 1
        assert probe.seen == ["a request", "a response"]

    async def test_a_filter_may_stop_a_response_and_go_on_later(self) -> None:
        def later(stream: Stream, response: ResponseHead) -> FilterStatus:
            stream.wait(0.01, stream.continue_response)
            return STOP

        async with lab(routes(), http_filters=(Probe("a", on_response=later),)) as running:
            assert body_of(await running.ask(request("GET /x"))) == '{"tag": "a", "target": "/x"}'

    async def test_stages_see_trailers_with_the_end(self) -> None:
        class Note:
            def __init__(self, stream: Stream) -> None:
                self.stream = stream

            def on_data(self, data: bytes, end_stream: bool) -> bytes:
                if end_stream:
                    self.stream.response_trailers = (("x-t", "2"),)
                return data

        def add(stream: Stream, response: ResponseHead) -> FilterStatus:
            stream.add_response_stage(Note(stream))
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", on_response=add),), http1_trailers=True) as running:
            client = await running.client()
            client.send(request("GET /chunked"))
            assert (await client.reader.readuntil(b"2\r\n\r\n")).endswith(b"\r\n0\r\nx-t: 2\r\n\r\n")
            client.close()

    async def test_the_end_of_a_stream_is_told_however_it_comes(self) -> None:
        ended: list[str] = []

        def watch(stream: Stream) -> FilterStatus:
            stream.at_end(lambda: ended.append(stream.info.path or ""))
            return CONTINUE

        async with lab(routes(), http_filters=(Probe("a", watch),)) as running:
            await running.ask(request("GET /x"))
            client = await running.client()
            client.send(request("GET /delay/1"))
            await until(lambda: len(running.upstream.requests) == 2)
            client.abort()
            await running.log.next()
            await running.log.next()
            assert ended == ["/x", "/delay/1"]


class TestOrder:
    @pytest.mark.parametrize("path", ["/x", "/direct"])
    async def test_responses_go_back_through_the_filters_local_replies_too(self, path: str) -> None:
        seen: list[str] = []
        async with lab(routes(), http_filters=(Probe("a", seen=seen), Probe("b", seen=seen))) as running:
            await running.ask(request(f"GET {path}"))
        assert seen == ["a request", "b request", "b response", "a response"]

    async def test_all_filters_see_the_answer_of_the_first(self) -> None:
        def refuse(stream: Stream) -> FilterStatus:
            stream.send_local_reply(403, b"", "refused")
            return STOP

        seen: list[str] = []
        async with lab(
            routes(), http_filters=(Probe("a", refuse, seen=seen), Probe("b", seen=seen))
        ) as running:
            await running.ask(request("GET /x"))
        assert seen == ["a request", "b response that is a head only", "a response that is a head only"]

    async def test_a_request_without_a_route_passes_the_filters(self) -> None:
        probe = Probe("a")
        nowhere = "name: r\nvirtual_hosts: []"
        async with lab(nowhere, http_filters=(probe,)) as running:
            assert status_of(await running.ask(request("GET /x"))) == "404"
            assert " 404 NR route_not_found " in await running.log.next()
        assert probe.seen == ["a request", "a response that is a head only"]


def test_a_stage_added_late_gets_what_came_before() -> None:
    pipe, early, late = BodyPipe(), Upper(), Upper()
    pipe.add(early)
    assert pipe.catch_up(b"ab", False) == b"AB"
    pipe.add(late)
    assert pipe.catch_up(b"AB", False) == b"AB"
    assert pipe.pass_through(b"c", True) == b"C"
    assert early.pieces == [(b"ab", False), (b"c", True)]
    assert late.pieces == [(b"AB", False), (b"C", True)]


async def test_a_stream_without_such_filters_has_nothing_of_this() -> None:
    streams: list[Stream] = []

    def note(stream: Stream) -> FilterStatus:
        streams.append(stream)
        return CONTINUE

    async with lab(routes(), http_filters=(Probe("a", note),)) as running:
        await running.ask(post("/x", "abc"))
        assert _bodies_of(running, streams[0]) is None


def _bodies_of(running: Lab, stream: Stream) -> object:
    return stream._bodies
