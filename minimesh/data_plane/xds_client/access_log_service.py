"""Envoy's access-log service over gRPC: batches of finished streams become messages of one lasting stream.

What the service is called matches Envoy's `envoy.access_loggers.http_grpc` and `tcp_grpc`: a flush after
`buffer_flush_interval`, the node in the first message, a new stream when one broke. Nothing is repeated: what
was under way when a stream broke is lost, as with Envoy. Unlike Envoy's, a stream ends that had nothing to
carry for a while: who is not looked at holds no connection for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minimesh.data_plane.telemetry.access_log_batch import AccessLogBatch
from minimesh.data_plane.xds_client.access_log_entries import LoggedHeaders, fill_http_entry, fill_tcp_entry
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.data_plane.routing.actions import ClusterHandle
    from minimesh.data_plane.telemetry.stats import StatsStore
    from minimesh.data_plane.telemetry.stream_info import StreamInfo

_METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
#: Streams held while the service is away or slow; some 2 MB.
HELD_STREAMS = 4096
#: Entries of one message: Envoy's default of 16 KiB holds about as many.
_ENTRIES_A_MESSAGE = 64
_RETRY_S = 1.0
#: A stream with nothing to tell for so long ends.
_IDLE_S = 10.0


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """One configured service; equal ones share a stream."""

    log_name: str
    handle: ClusterHandle = field(compare=False)
    cluster: str
    flush_interval_s: float
    tcp: bool = False
    headers: LoggedHeaders = field(default_factory=LoggedHeaders)


class AccessLogServices:
    """All services of one proxy, made as configuration names them."""

    def __init__(self) -> None:
        #: The core.v3.Node that introduces this proxy.
        self.node: Any = m.base_pb2.Node()
        self._clients: dict[ServiceSettings, AccessLogClient] = {}

    def batch(self, settings: ServiceSettings, stats: StatsStore) -> AccessLogBatch:
        """Where finished streams for this service go."""
        client = self._clients.get(settings)
        if client is None:
            client = self._clients[settings] = AccessLogClient(settings, stats, self.node)
        return client.batch

    def close(self) -> None:
        """End all streams; what has not been sent is lost."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


class AccessLogClient:
    """One service's stream: there is one while there is something to tell."""

    def __init__(self, settings: ServiceSettings, stats: StatsStore, node: Any) -> None:
        self._settings = settings
        self._node = node
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.batch = AccessLogBatch(HELD_STREAMS, stats, self._wake)

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _wake(self) -> None:
        self._filled.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        while True:
            await self._filled.wait()
            try:
                # A task of its own: grpclib turns a cancellation into an error of its own.
                await asyncio.create_task(self._follow())
                continue
            except Exception:  # whatever broke the stream: the next one may hold
                if task.cancelling():
                    raise asyncio.CancelledError from None
            self.batch.dropped.value += len(self.batch.take())
            self._filled.clear()
            await asyncio.sleep(_RETRY_S)

    async def _follow(self) -> None:
        """One stream, until there is nothing to tell. Raises whatever breaks it."""
        # Imported here: a proxy that nobody watches does without gRPC.
        from grpclib.client import Channel
        from grpclib.const import Cardinality

        hosts = self._settings.handle.cluster.hosts if self._settings.handle.cluster is not None else ()
        if not hosts:
            raise ConnectionError(f"cluster {self._settings.cluster} has no endpoint")
        channel = Channel(hosts[0].address, hosts[0].port)
        try:
            async with channel.request(
                _METHOD,
                Cardinality.STREAM_UNARY,
                m.access_log_service_pb2.StreamAccessLogsMessage,
                m.access_log_service_pb2.StreamAccessLogsResponse,
            ) as stream:
                await stream.send_request()
                first = m.access_log_service_pb2.StreamAccessLogsMessage()
                first.identifier.node.CopyFrom(self._node)
                first.identifier.log_name = self._settings.log_name
                await self._send_all(stream, first)
                await stream.cancel()  # there is no answer to wait for
        finally:
            channel.close()

    async def _send_all(self, stream: Any, message: Any) -> None:
        """Send batch after batch, until none comes any more."""
        while await self._is_filled():
            await asyncio.sleep(self._settings.flush_interval_s)
            self._filled.clear()
            infos = self.batch.take()
            for start in range(0, len(infos), _ENTRIES_A_MESSAGE):
                self._fill(message, infos[start : start + _ENTRIES_A_MESSAGE])
                await stream.send_message(message)
                message = m.access_log_service_pb2.StreamAccessLogsMessage()
                await asyncio.sleep(0)  # requests first: encoding is the slowest thing here
            self.batch.written.value += len(infos)

    async def _is_filled(self) -> bool:
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._filled.wait()
        except TimeoutError:
            return self._filled.is_set()
        return True

    def _fill(self, message: Any, infos: list[StreamInfo]) -> None:
        """Make the entries in their place: the list would copy what it is extended by."""
        if self._settings.tcp:
            add = message.tcp_logs.log_entry.add
            for info in infos:
                fill_tcp_entry(add(), info)
            return
        add, headers = message.http_logs.log_entry.add, self._settings.headers
        for info in infos:
            fill_http_entry(add(), info, headers)
