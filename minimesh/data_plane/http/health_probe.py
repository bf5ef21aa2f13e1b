"""Active health checks by HTTP and by gRPC (grpc.health.v1), over the cluster's own way to connect.

A prober keeps its connection, apart from the pools that requests use, and judges the answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from minimesh.data_plane.http.header_block import Field, HeaderBlock
from minimesh.data_plane.http.interfaces import ResetReason
from minimesh.data_plane.http.messages import PreparedHeaders, RequestHead, ResponseHead
from minimesh.data_plane.telemetry.stream_info import StreamInfo
from minimesh.data_plane.upstream.health_check import ProbeResult, Verdict
from minimesh.data_plane.upstream.host import Host
from minimesh.data_plane.upstream.tcp_probe import contains_in_order

if TYPE_CHECKING:
    from minimesh.data_plane.routing.header_mutation import HeaderMutation
    from minimesh.data_plane.upstream.cluster_settings import ClusterSettings

_USER_AGENT: Field = ("user-agent", "Envoy/HC")
#: Tag of field 1, a varint; and the value that means that requests are welcome.
_STATUS_FIELD, _SERVING = 0x08, 1
_GRPC_OK = "0"
#: A health response is a few bytes.
_MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """What is asked of a host, and which answers are good. Status ranges exclude their end."""

    path: str
    host: str
    """Empty: the name of the cluster."""
    method: str = "GET"
    expected_statuses: tuple[range, ...] = (range(200, 201),)
    retriable_statuses: tuple[range, ...] = ()
    receive: tuple[bytes, ...] = ()
    """What the body of a good answer has to contain, in this order."""
    http2: bool = False
    headers: HeaderMutation | None = None
    matches_service: Callable[[str], bool] | None = None
    """What `x-envoy-upstream-healthchecked-cluster` of the answer has to be."""


@dataclass(frozen=True, slots=True)
class GrpcCheck:
    """The service of a host that is asked after; empty means the host as a whole."""

    service: str = ""
    authority: str = ""
    """Empty: the name of the cluster."""
    headers: HeaderMutation | None = None


class Answer:
    """One response, gathered to its end. A `ResponseReceiver`."""

    __slots__ = ("_done", "body", "response", "trailers")

    def __init__(self) -> None:
        self.response: ResponseHead
        self.body = b""
        self.trailers: Sequence[Field] = ()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def complete(self) -> None:
        """Returns at the end of the response. Raises ConnectionError when it does not come to one."""
        await self._done

    def on_continue(self) -> None: ...

    def on_response_head(self, response: ResponseHead, data: bytes, end_stream: bool) -> None:
        self.response = response
        self.on_response_data(data, end_stream)

    def on_response_data(self, data: bytes, end_stream: bool) -> None:
        if len(self.body) < _MAX_BODY_BYTES:
            self.body += data
        if end_stream:
            self._end()

    def on_response_trailers(self, fields: Sequence[Field]) -> None:
        self.trailers = fields
        self._end()

    def on_reset(self, reason: ResetReason, transport_reason: str) -> None:
        if not self._done.done():
            self._done.set_exception(ConnectionError(reason.text))

    def on_upstream_writable(self, writable: bool) -> None: ...

    def _end(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


class _Connects(Protocol):
    """What is kept of an upstream connection here."""

    closed: bool

    def close(self) -> None: ...


class _KeptConnection:
    """One connection to one host, opened when there is none, apart from the pools."""

    __slots__ = ("_connection", "_host", "_http2", "_settings")

    def __init__(self, host: Host, settings: ClusterSettings, *, http2: bool) -> None:
        self._host = _host_to_probe(host)
        self._settings = settings
        self._http2 = http2
        self._connection: Any = None

    async def exchange(self, head: RequestHead, body: bytes) -> Answer:
        """Ask. Raises OSError when there is no answer."""
        connection = self._connection
        if connection is None or connection.closed or (self._http2 and connection.going_away):
            connection = self._connection = await self._connect()
        answer = Answer()
        exchange = connection.open_exchange() if self._http2 else connection
        exchange.start(answer, head, body, True, False)
        await answer.complete()
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect(self) -> _Connects:
        settings = self._settings
        connect: Callable[[Host, ClusterSettings], Awaitable[Any]] | None = (
            settings.connect_http2 if self._http2 else settings.connect
        )
        assert connect is not None, "a cluster without a connect function has no health checks"
        connection: _Connects = await connect(self._host, settings)
        return connection


class HttpProber:
    """`Prober` for an `HttpCheck`."""

    __slots__ = ("_check", "_connection", "_head")

    def __init__(self, check: HttpCheck, host: Host, settings: ClusterSettings) -> None:
        self._check = check
        authority = host.spec.health_check_hostname or check.host or settings.name
        self._head = _request(check.method, check.path, authority, (_USER_AGENT,), check.headers)
        self._connection = _KeptConnection(host, settings, http2=check.http2)

    async def probe(self) -> ProbeResult:
        """One probe: see `Prober`."""
        answer = await self._connection.exchange(self._head.copy(), b"")
        return judge(answer.response, answer.body, self._check)

    def close(self) -> None:
        self._connection.close()


def judge(response: ResponseHead, body: bytes, check: HttpCheck) -> ProbeResult:
    """What a response to an HTTP health check means."""
    status = response.status
    excluded = bool(response.header_values("x-envoy-immediate-health-check-fail"))
    if not any(status in good for good in check.expected_statuses):
        retriable = any(status in few for few in check.retriable_statuses)
        return ProbeResult(Verdict.RETRIABLE if retriable else Verdict.BAD, excluded)
    if excluded or not contains_in_order(body, check.receive):
        return ProbeResult(Verdict.BAD, excluded)
    if check.matches_service is not None:
        service = "".join(response.header_values("x-envoy-upstream-healthchecked-cluster")[:1])
        if not check.matches_service(service):
            return ProbeResult(Verdict.BAD, wrong_service=True)
    degraded = bool(response.header_values("x-envoy-degraded"))
    return ProbeResult(Verdict.DEGRADED if degraded else Verdict.HEALTHY)


class GrpcProber:
    """`Prober` for a `GrpcCheck`, always over HTTP/2."""

    __slots__ = ("_connection", "_head", "_message")

    def __init__(self, check: GrpcCheck, host: Host, settings: ClusterSettings) -> None:
        authority = check.authority or host.spec.health_check_hostname or settings.name
        headers = (("te", "trailers"), ("content-type", "application/grpc"), _USER_AGENT)
        path = "/grpc.health.v1.Health/Check"
        self._head = _request("POST", path, authority, headers, check.headers)
        self._message = health_request(check.service)
        self._connection = _KeptConnection(host, settings, http2=True)

    async def probe(self) -> ProbeResult:
        """One probe: see `Prober`."""
        answer = await self._connection.exchange(self._head.copy(), self._message)
        return judge_grpc(answer)

    def close(self) -> None:
        self._connection.close()


def judge_grpc(answer: Answer) -> ProbeResult:
    """What a response of grpc.health.v1.Health/Check means."""
    trailers = dict(answer.trailers)
    values = answer.response.header_values("grpc-status")
    grpc_status = trailers.get("grpc-status", values[0] if values else "")
    good = answer.response.status == 200 and grpc_status == _GRPC_OK and is_serving(answer.body)
    if not good:
        return ProbeResult(Verdict.BAD)
    degraded = bool(answer.response.header_values("x-envoy-degraded")) or "x-envoy-degraded" in trailers
    return ProbeResult(Verdict.DEGRADED if degraded else Verdict.HEALTHY)


def health_request(service: str) -> bytes:
    """A HealthCheckRequest in a gRPC frame: one string field, small enough to be written by hand."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\x00" + len(message).to_bytes(4, "big") + message


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def is_serving(body: bytes) -> bool:
    """Whether a HealthCheckResponse in a gRPC frame says SERVING: `status` is its only field."""
    return body[:1] == b"\x00" and body[5:] == bytes((_STATUS_FIELD, _SERVING))


def _host_to_probe(host: Host) -> Host:
    """The host itself, or where its health is to be asked for."""
    spec = host.spec
    if not spec.health_check_port and not spec.health_check_address:
        return host
    address, port = spec.health_check_address or spec.address, spec.health_check_port or spec.port
    return Host(replace(spec, address=address, port=port))


def _request(
    method: str,
    path: str,
    authority: str,
    fields: tuple[Field, ...],
    changes: HeaderMutation | None,
) -> RequestHead:
    block = HeaderBlock(fields, {})
    head = RequestHead(method, path, authority, "http", block, PreparedHeaders(fields, -1, ""))
    if changes is not None:
        changes.apply(head, StreamInfo())
    return head
