"""What must hold of any bytes. Every function here takes bytes and raises AssertionError.

The property is never "equal to llhttp", which refuses more than a proxy may, but "never desynchronised":
what we send on is read by llhttp, strict, as just the requests that were meant; it is the same however the
bytes were cut, and whatever came before them on the connection; and afterwards nothing is left over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.fuzz.llhttp import Message, Reading, read_requests, read_responses
from tests.fuzz.wire import InMemoryProxy, Outcome

#: What llhttp refuses and we, as Envoy, take: sent on, it is written anew, with CRLF and one framing, so that
#: nobody behind us can take its end for another. Where llhttp reads it when told to be lenient, it must read
#: the same. (Every reason was asked of the live Envoy.)
LENIENCIES = (
    "Invalid header field char",  # the empty line is LF alone
    "Invalid header value char",  # a folded line behind an empty value; CR CR LF
    "Unexpected whitespace after header value",  # a folded line
    "Missing expected CR after header value",  # a line that ends with LF alone
    "Missing expected LF after header value",
    "Expected LF after headers",
    "Expected CRLF after version",
    "Missing expected CR after response line",
    "Expected LF after CR",  # CR CR LF behind a status line
    "Invalid character in chunk size",  # a blank behind it
    "Invalid character in chunk extensions",  # whatever is there is dropped, up to CRLF
    "Data after `Connection: close`",
)
#: The same where llhttp finds it in trailers, which are dropped.
TRAILER_LENIENCIES = (
    "Content-Length can't be present with Transfer-Encoding",
    "Transfer-Encoding can't be present with Content-Length",
    "Invalid `Transfer-Encoding` header value",
)
#: Of responses: they may be HTTP/1.2, and LF may follow the status at once.
_RESPONSE_LENIENCIES = (*LENIENCIES, "Invalid HTTP version", "Invalid response status")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rf"{_TOKEN} [\x21-\x7e]+ HTTP/1\.1")
_FIELD = re.compile(rf"({_TOKEN}): ([^\x00\r\n]*)")
#: What llhttp 9 calls by another name; nothing to do with framing.
_OTHER_METHODS = re.compile(rb"MSEARCH|M-SEARCH")


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    """`data` in pieces; `at` are places, taken modulo its length."""
    places = sorted({place % len(data) for place in at} - {0}) if data else []
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


# --- requests ---


def check_requests(proxy: InMemoryProxy, data: bytes, cuts: Sequence[int] = ()) -> Outcome:
    """Whatever a client sends."""
    if not data or _OTHER_METHODS.search(data) or data.lstrip(b"\r\n").startswith(b"PRI * HTTP/2.0"):
        return Outcome()
    outcome = proxy.converse([data])
    forwarded = check_what_upstreams_got(outcome)
    _check_answers(outcome, forwarded)
    _check_against_llhttp(data.lstrip(b"\r\n"), forwarded)
    assert not outcome.left_over, outcome.left_over
    pieces = cut(data, cuts)
    if len(pieces) > 1:
        _check_same(outcome, proxy.converse(pieces), "in pieces")
    return outcome


def check_after(proxy: InMemoryProxy, before: bytes, data: bytes, cuts: Sequence[int] = ()) -> None:
    """Requests mean the same whatever the connection carried before them (a memo must not be seen)."""
    first = proxy.converse([before])
    messages = read_requests(before).messages
    if first.closed or not messages or not all(each.complete for each in messages) or not data:
        return
    if len(read_responses(first.client, [each.method for each in messages]).complete) < len(messages):
        return  # not answered: it waits for more, of which `data` would be a part
    alone, both = proxy.converse([data]), proxy.converse([before, *cut(data, cuts)])
    expected = [*_forwarded(first), *_forwarded(alone)]
    assert _essence(_forwarded(both)) == _essence(expected), "other requests after other bytes"
    assert both.closed == alone.closed, "closed differently after other bytes"


def check_repeated(proxy: InMemoryProxy, requests: Sequence[bytes], together: bool) -> None:
    """Similar requests on one connection come out as each would alone (so they are read from a memo or not).

    `together`: they come in one piece, not one by one.
    """
    sent: list[bytes] = []
    forwarded: list[Message] = []
    client = b""
    for request in requests:
        alone = proxy.converse([request], _same_answer)
        sent.append(request)
        forwarded += _forwarded(alone)
        client += undated(alone.client)
        if alone.closed or not alone.client.endswith(b"same"):
            break
    all_at_once = proxy.converse([b"".join(sent)] if together else sent, _same_answer)
    assert _essence(_forwarded(all_at_once)) == _essence(forwarded), "another request than alone"
    assert undated(all_at_once.client) == client, "another answer than alone"
    assert not all_at_once.left_over, all_at_once.left_over


def _same_answer(number: int, method: str) -> Sequence[bytes]:
    return [b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsame"]


def check_what_upstreams_got(outcome: Outcome) -> list[Message]:
    """Every byte sent on belongs to a request that llhttp reads strictly; the complete ones."""
    forwarded = []
    for connection in outcome.upstream:
        reading = read_requests(connection)
        assert not reading.error, f"llhttp refuses what we sent: {reading.error}: {connection!r}"
        assert not reading.upgraded, f"llhttp takes what we sent for an upgrade: {connection!r}"
        assert all(message.complete for message in reading.messages[:-1])
        forwarded += reading.complete
        for message in reading.complete:
            _check_forwarded(message, connection)
    return forwarded


def _check_forwarded(message: Message, wire: bytes) -> None:
    names = [name for name, _ in message.fields]
    assert names.count("host") == 1, wire
    assert names.count("content-length") + names.count("transfer-encoding") <= 1, wire
    assert message.values("transfer-encoding") in ([], ["chunked"]), wire
    assert all(re.fullmatch("[0-9]+", value) for value in message.values("content-length")), wire
    assert not {"connection", "keep-alive", "proxy-connection", "upgrade"} & set(names), wire
    head = wire.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    assert _REQUEST_LINE.fullmatch(head[0]), wire
    assert all(_FIELD.fullmatch(line) for line in head[1:]), wire


def _check_answers(outcome: Outcome, forwarded: Sequence[Message]) -> None:
    """The client gets whole responses, one for each request sent on, in order, and perhaps a refusal."""
    methods = _methods_of_answers(outcome, forwarded)
    answers = read_responses(outcome.client, methods, outcome.closed)
    assert not answers.error, f"llhttp refuses our answer: {answers.error}: {outcome.client!r}"
    assert len(answers.complete) == len(answers.messages), f"half an answer: {outcome.client!r}"
    ours = [each for each in answers.messages if each.status == 200 or "answer" in str(each.body)]
    assert len(ours) == len(forwarded), f"{len(forwarded)} sent on, answers: {outcome.client!r}"
    for number, (answer, request) in enumerate(zip(ours, forwarded, strict=True)):
        expected = b"" if request.method == "HEAD" else b"answer %d" % number
        assert answer.body == expected, f"somebody else's answer: {outcome.client!r}"


def _methods_of_answers(outcome: Outcome, forwarded: Sequence[Message]) -> list[str]:
    """Which answers have no body: those to HEAD. Our own to HEAD say, as Envoy's, that they are chunked."""
    methods, sent = [], list(forwarded)
    for status, fields in re.findall(rb"HTTP/1\.1 (\d{3})(.*?)\r\n\r\n", outcome.client, re.DOTALL):
        if status == b"200" and sent:
            methods.append(sent.pop(0).method)
        elif int(status) >= 200:
            methods.append("HEAD" if b"transfer-encoding" in fields else "GET")
    return methods


def _check_against_llhttp(data: bytes, forwarded: Sequence[Message]) -> None:
    """What llhttp reads in the same bytes must be what was sent on; we may leave requests out."""
    meant = read_requests(data)
    left = _unexplained(meant, forwarded)
    if not left:
        return
    assert meant.error, f"llhttp reads no such request: {left[0]}"
    assert _is_leniency(meant, LENIENCIES), f"forwarded in spite of '{meant.error}': {left[0]}"
    lenient = read_requests(data, lenient=True)
    left = _unexplained(lenient, forwarded)
    assert not left or lenient.error, f"llhttp, lenient, reads no such request: {left[0]}"


def _unexplained(meant: Reading, forwarded: Sequence[Message]) -> Sequence[Message]:
    """What was sent on behind all that llhttp has read."""
    waiting = list(meant.complete)
    for at, message in enumerate(forwarded):
        while waiting and not _same_request(waiting[0], message):
            waiting.pop(0)
        if not waiting:
            return forwarded[at:]
        waiting.pop(0)
    return ()


def _is_leniency(meant: Reading, accepted: tuple[str, ...]) -> bool:
    """Whether llhttp stopped for a reason for which we need not."""
    in_trailers = bool(meant.messages) and meant.messages[-1].headed
    return meant.error.startswith((*accepted, *TRAILER_LENIENCIES) if in_trailers else accepted)


def _same_request(meant: Message, sent: Message) -> bool:
    return (
        meant.method == sent.method
        and meant.body == sent.body
        and _path_of(meant.target) == sent.target
        and _marked(meant) == _marked(sent)
    )


def _path_of(target: str) -> str:
    found = re.fullmatch(r"https?://[^/?]*(.*)", target, re.IGNORECASE)
    path = found[1] if found else target
    return path if path.startswith("/") or not found else f"/{path}"


def _marked(message: Message) -> list[tuple[str, str]]:
    """Headers that the grammar adds for being compared: nobody on the way has an opinion about them."""
    return [(name, " ".join(value.split())) for name, value in message.fields if name.startswith("x-fuzz")]


def _forwarded(outcome: Outcome) -> list[Message]:
    return [message for wire in outcome.upstream for message in read_requests(wire).complete]


def _essence(messages: Sequence[Message]) -> list[tuple[object, ...]]:
    """What must not depend on how bytes were cut: all but how a chunked body is cut."""
    return [(each.method, each.target, each.status, each.fields, each.body) for each in messages]


def _check_same(whole: Outcome, other: Outcome, how: str) -> None:
    assert _essence(_forwarded(other)) == _essence(_forwarded(whole)), f"other requests {how}"
    assert undated(other.client) == undated(whole.client), f"other answers {how}"
    assert other.closed == whole.closed, f"closed differently {how}"
    assert not other.left_over, other.left_over


def undated(data: bytes) -> bytes:
    """Without dates and times, which differ from run to run, and without 100 Continue, told to who waits."""
    data = data.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    return re.sub(rb"\r\n(date|x-envoy-upstream-service-time): [^\r]*", b"", data)


# --- responses ---

SECOND = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"
_SECOND_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond"


def check_response(
    proxy: InMemoryProxy, data: bytes, method: str = "GET", cuts: Sequence[int] = (), closes: bool = False
) -> None:
    """Whatever an upstream answers to the first of two requests; `closes`: and then hangs up."""
    outcome = _respond(proxy, [data], method, closes)
    answers = _check_client_side(outcome, method)
    _check_passed_on(answers, data, method, closes)
    pieces = cut(data, cuts)
    if len(pieces) > 1:
        again = _respond(proxy, pieces, method, closes)
        assert _dechunked(again, method) == _dechunked(outcome, method), "other answers in pieces"
        assert again.closed == outcome.closed, "closed differently in pieces"


def _respond(proxy: InMemoryProxy, pieces: Sequence[bytes], method: str, closes: bool) -> Outcome:
    def script(number: int, _: str) -> Sequence[bytes]:
        return pieces if number == 0 else [_SECOND_ANSWER]

    first = b"%b /first HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode()
    return proxy.converse([first], script, afterwards=SECOND, upstream_closes=closes)


def _check_client_side(outcome: Outcome, method: str) -> Reading:
    """The client never reads a byte that is not of the answer to its request."""
    assert not outcome.left_over, outcome.left_over
    answers = read_responses(outcome.client, [method, "GET"], outcome.closed)
    assert not answers.error, f"llhttp refuses what the client got: {answers.error}: {outcome.client!r}"
    finals = [each for each in answers.messages if each.status >= 200]
    assert len(finals) <= 2, outcome.client
    if len(finals) == 2:
        assert finals[1].body == b"second", f"the answer to another request: {outcome.client!r}"
    elif finals and finals[0].complete and not outcome.closed:
        raise AssertionError(f"the second request was not answered: {outcome.client!r}")
    return Reading(finals, upgraded=answers.upgraded)


def _check_passed_on(answers: Reading, data: bytes, method: str, closes: bool) -> None:
    """What the client got is what llhttp reads in the upstream's bytes, or a failure of ours."""
    meant = read_responses(data, [method], closes)
    finals = [each for each in meant.messages if each.status >= 200]
    got = answers.messages[0] if answers.messages else None
    if got is None or not got.complete or got.status in (502, 503):
        return
    if finals and finals[0].complete:
        wanted = finals[0]
        assert (got.status, got.body) == (wanted.status, wanted.body), f"{got} for {wanted}"
        assert _marked(got) == _marked(wanted), f"{got} for {wanted}"
        return
    assert meant.error, f"llhttp waits for more of {data!r}; the client got {got}"
    assert _is_leniency(meant, _RESPONSE_LENIENCIES), f"passed on in spite of '{meant.error}': {data!r}"


def _dechunked(outcome: Outcome, method: str) -> list[tuple[object, ...]]:
    """What the client read, whatever its chunks."""
    read = read_responses(outcome.client, [method, "GET"], outcome.closed).messages
    return [
        (each.status, each.complete, [field for field in each.fields if field[0] not in _TIMED], each.body)
        for each in read
    ]


_TIMED = ("date", "x-envoy-upstream-service-time")


def check_repeated_responses(proxy: InMemoryProxy, responses: Sequence[bytes]) -> None:
    """Similar responses on one connection come out as each would alone."""
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    client, count = b"", 0
    for response in responses:
        alone = proxy.converse([request], lambda *_, response=response: [response])
        client += undated(alone.client)
        count += 1
        if alone.closed or not read_responses(alone.client).complete:
            break
    together = proxy.converse([request] * count, lambda number, _: [responses[number]])
    assert undated(together.client) == client, "another answer than alone"
    assert not together.left_over, together.left_over
