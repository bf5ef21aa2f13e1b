"""A raw client: sends a case's bytes, and tells what came back and what became of the connection."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.conformance.case import Case
from tests.conformance.http2_client import Http2Conversation

_PATIENCE_S = 2.0
#: Long enough for a piece to arrive by itself.
_BETWEEN_PIECES_S = 0.002
#: Sent after the answers: whether it is answered tells whether the connection was kept.
PROBE = b"GET /direct HTTP/1.1\r\nHost: gs.xebia.com\r\nUser-Agent: probe\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a client saw. `port` is its own, by which its log lines are found."""

    port: int
    received: str
    ending: str


async def converse(
    case: Case, port: int, used: set[int], upstream_reached: Callable[[], Awaitable[object]], cut_at: int = 0
) -> Exchange:
    """One connection's worth of a case, from a port that is none of `used` and one of them afterwards.

    `cut_at`: the request goes in two pieces, this being the length of the first.
    """
    sock, own_port = _socket_on_new_port(used)
    try:
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    except ConnectionResetError:
        sock.close()
        return Exchange(own_port, "", "closed")
    try:
        reader, writer = await _open(case, sock)
    except (OSError, ssl.SSLError):
        return Exchange(own_port, "", "closed")
    if isinstance(case.request, tuple):
        try:
            return Exchange(
                own_port, *await Http2Conversation(reader, writer, upstream_reached).run(case.request)
            )
        finally:
            writer.close()
    conversation = _Conversation(case, case.request, reader, writer)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await _send(writer, case.request, case.cut or cut_at, in_two=bool(cut_at))
            if case.half_closes:
                await upstream_reached()
                writer.write_eof()
            if case.leaves:
                await upstream_reached()
                return Exchange(own_port, "", "left")
            await asyncio.sleep(case.reads_after_s)
            received, ending = await conversation.run()
            if case.sni is not None:
                # The frames of HTTP/2 are another suite's.
                received = f"<{_negotiated(writer)}>{'' if 'h2' in case.alpn else received}"
            return Exchange(own_port, received, ending)
    except TimeoutError:
        return Exchange(own_port, conversation.received, "nothing more came")
    finally:
        if case.leaves:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        writer.close()


async def _open(case: Case, sock: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The streams of a connected socket, behind a handshake where the case speaks TLS."""
    if case.sni is None:
        return await asyncio.open_connection(sock=sock)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # which certificate comes is compared, not trusted
    if case.alpn:
        context.set_alpn_protocols(list(case.alpn))
    return await asyncio.open_connection(sock=sock, ssl=context, server_hostname=case.sni)


def _negotiated(writer: asyncio.StreamWriter) -> str:
    """Version, protocol and certificate of a TLS connection."""
    tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
    digest = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()[:16]
    return f"{tls.version()} {tls.selected_alpn_protocol() or '-'} {digest}"


async def _send(writer: asyncio.StreamWriter, request: bytes, size: int, *, in_two: bool) -> None:
    """The request, in pieces where the case says so; a large one is written while answers are read."""
    size = size or len(request) or 1
    pieces = [request[at : at + size] for at in range(0, len(request), size)]
    if in_two:
        pieces = [pieces[0], b"".join(pieces[1:])]
    for piece in pieces:
        writer.write(piece)
        if len(pieces) > 1:
            await asyncio.sleep(_BETWEEN_PIECES_S)


def _socket_on_new_port(used: set[int]) -> tuple[socket.socket, int]:
    """Bound before it connects: a proxy may have reset a connection before its port is known here."""
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        if port not in used:
            used.add(port)
            return sock, port
        sock.close()


class _Conversation:
    """Reads until the answers are complete or the proxy closes, saying what the case says in between."""

    def __init__(
        self, case: Case, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._case = case
        self._reader = reader
        self._writer = writer
        self._data = b""
        self._to_say = list(case.then)
        self._heads_only = request.startswith(b"HEAD ")

    @property
    def received(self) -> str:
        """What has come in so far."""
        return readable(self._data, heads_only=self._heads_only)

    async def run(self) -> tuple[str, str]:
        ending = await self._read_while(self._answers_missing)
        received = self.received
        if ending:
            return received, ending
        if self._case.listener.startswith("tcp") or self._case.half_closes or "h2" in self._case.alpn:
            return received, "open"
        self._data, self._heads_only = b"", False
        self._writer.write(PROBE)
        closed = await self._read_while(lambda: b"direct body" not in self._data)
        return received, "closed" if closed else "kept"

    def _answers_missing(self) -> bool:
        if "h2" in self._case.alpn:
            return not self._data
        complete = complete_answers(self._data, heads_only=self._heads_only)
        return self._case.answers == 0 or complete < self._case.answers

    async def _read_while(self, missing: Callable[[], bool]) -> str:
        """How the connection ended, or an empty string when it is still open."""
        while missing():
            try:
                data = await self._reader.read(65536)
            except ConnectionError:
                return "closed"
            if not data:
                return "closed"
            self._data += data
            if self._to_say and self._data.endswith(self._to_say[0][0]):
                self._writer.write(self._to_say.pop(0)[1])
        return ""


_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r]*\r\n(.*?)\r\n\r\n", re.DOTALL)
_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding: *chunked", re.IGNORECASE | re.MULTILINE)


def complete_answers(data: bytes, *, heads_only: bool) -> int:
    """How many final answers stand complete in `data`."""
    return sum(complete for _, _, complete in _answers(data, heads_only=heads_only))


def readable(data: bytes, *, heads_only: bool) -> str:
    """What was received, chunks joined: where a proxy cuts them depends on how the bytes happen to arrive."""
    return "".join((head + body).decode("latin-1") for head, body, _ in _answers(data, heads_only=heads_only))


def _answers(data: bytes, *, heads_only: bool) -> list[tuple[bytes, bytes, bool]]:
    """(head, body without framing, whether it is a complete final answer) of each answer."""
    found: list[tuple[bytes, bytes, bool]] = []
    while (match := _HEAD.match(data)) is not None:
        status, head, data = int(match[1]), match[0], data[match.end() :]
        length = _LENGTH.search(head)
        if status == 101:
            found.append((head, data, False))
            return found
        if heads_only or status < 200 or status in (204, 304):
            found.append((head, b"", status >= 200))
        elif length is not None:
            size = int(length[1])
            found.append((head, data[:size], len(data) >= size))
            data = data[size:]
        elif _CHUNKED.search(head):
            body, data, complete = _dechunk(data)
            found.append((head, body + (b"<end of chunks>" if complete else b""), complete))
        else:
            found.append((head, data, False))
            data = b""
    if data:
        found.append((b"", data, False))
    return found


def _dechunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """(body, what follows, whether the last chunk came)."""
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return body, data, False
        size = int(line.partition(b";")[0], 16)
        if size == 0:
            trailers, end, rest = (b"\r\n" + rest).partition(b"\r\n\r\n")
            return body + trailers, rest, bool(end)
        body += rest[:size]
        data = rest[size + 2 :]
