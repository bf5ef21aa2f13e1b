"""The gRPC end of the access-log service: proxies of any make tell of finished requests and connections."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpclib.const

from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.discovery.traffic_watch import TrafficWatch

METHOD = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"
#: Entries taken in before others get a turn.
_ENTRIES_A_TURN = 50


@dataclass(frozen=True, slots=True)
class LoggedStream:
    """One entry, and the node id of the proxy that told of it: a request, or a connection where `tcp`."""

    node_id: str
    log_name: str
    entry: Any
    tcp: bool = False


class AccessLogService:
    """Passes entries on to a TrafficWatch."""

    def __init__(self, watch: TrafficWatch) -> None:
        self._watch = watch

    def __mapping__(self) -> dict[str, Any]:
        """What grpclib asks of a service instead of generated code."""
        return {
            METHOD: grpclib.const.Handler(
                self._serve,
                grpclib.const.Cardinality.STREAM_UNARY,
                m.access_log_service_pb2.StreamAccessLogsMessage,
                m.access_log_service_pb2.StreamAccessLogsResponse,
            )
        }

    async def _serve(self, stream: Any) -> None:
        node_id = log_name = ""
        async for message in stream:
            if message.HasField("identifier"):
                node_id, log_name = message.identifier.node.id, message.identifier.log_name
            entries = [(each, False) for each in message.http_logs.log_entry]
            entries += [(each, True) for each in message.tcp_logs.log_entry]
            for number, (entry, tcp) in enumerate(entries, start=1):
                self._watch.tell(LoggedStream(node_id, log_name, entry, tcp))
                if number % _ENTRIES_A_TURN == 0:
                    await asyncio.sleep(0)
