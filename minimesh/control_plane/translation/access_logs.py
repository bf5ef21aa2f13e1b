"""Access logs of listeners and filters, as Telemetry and MeshConfig ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.telemetry import DEFAULT_TEXT_FORMAT, TrafficMode
from minimesh.control_plane.translation.protobuf_values import any_of, struct
from minimesh.xds import messages as m
from minimesh.xds.resource_names import CONTROL_PLANE_CLUSTER, WATCH_LAYER, WATCH_SHARE_KEY

if TYPE_CHECKING:
    from minimesh.control_plane.mesh_config import AccessLogProvider
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.translation.proxy import Proxy

CEL_FILTER = "envoy.access_loggers.extension_filters.cel"
FILE_ACCESS_LOG = "envoy.access_loggers.file"
HTTP_ACCESS_LOG_SERVICE = "envoy.access_loggers.http_grpc"
TCP_ACCESS_LOG_SERVICE = "envoy.access_loggers.tcp_grpc"
_FLUSH_INTERVAL_MS = 100


def build_access_logs(proxy: Proxy, push: PushContext, mode: TrafficMode, *, tcp: bool = False) -> list[Any]:
    """The logs for requests, or TCP connections, on one side of a proxy; empty when logging is off."""
    logs = _configured_logs(proxy, push, mode)
    if push.mesh.watches_traffic:
        logs.append(_watched_log(tcp))
    return logs


def _configured_logs(proxy: Proxy, push: PushContext, mode: TrafficMode) -> list[Any]:
    found = []
    for chosen in push.telemetry.access_logs(proxy.namespace, proxy.labels, mode):
        log = _file_access_log(chosen.provider)
        if chosen.condition:
            log.filter.CopyFrom(_cel_filter(chosen.condition))
        found.append(log)
    return found


def _cel_filter(expression: str) -> Any:
    config = m.cel_filter_pb2.ExpressionFilter(expression=expression)
    return m.accesslog_pb2.AccessLogFilter(
        extension_filter=m.accesslog_pb2.ExtensionFilter(name=CEL_FILTER, typed_config=any_of(config))
    )


def _watched_log(tcp: bool) -> Any:
    """The log by which proxies tell the control plane of finished streams.

    The runtime says of how many: none, unless somebody looks.
    """
    message = m.grpc_access_log_pb2.TcpGrpcAccessLogConfig() if tcp else _http_log_service()
    common = message.common_config
    common.log_name = WATCH_LAYER
    common.transport_api_version = m.config_source_pb2.ApiVersion.V3
    common.grpc_service.envoy_grpc.cluster_name = CONTROL_PLANE_CLUSTER
    common.buffer_flush_interval.FromMilliseconds(_FLUSH_INTERVAL_MS)
    name = TCP_ACCESS_LOG_SERVICE if tcp else HTTP_ACCESS_LOG_SERVICE
    log = m.accesslog_pb2.AccessLog(name=name, typed_config=any_of(message))
    share = log.filter.runtime_filter
    share.runtime_key = WATCH_SHARE_KEY
    share.percent_sampled.denominator = m.percent_pb2.FractionalPercent.MILLION
    return log


def _http_log_service() -> Any:
    message = m.grpc_access_log_pb2.HttpGrpcAccessLogConfig()
    message.additional_response_headers_to_log.append("x-envoy-upstream-service-time")
    return message


def build_listener_access_logs(proxy: Proxy, push: PushContext, mode: TrafficMode) -> list[Any]:
    """The same logs on the listener itself, for connections that no filter chain wanted (flag NR)."""
    if not push.mesh.listener_access_log:
        return []
    logs = _configured_logs(proxy, push, mode)
    unwanted = m.accesslog_pb2.AccessLogFilter(
        response_flag_filter=m.accesslog_pb2.ResponseFlagFilter(flags=["NR"])
    )
    for log in logs:
        parts = [unwanted, log.filter] if log.HasField("filter") else [unwanted]
        log.filter.CopyFrom(_all_of(parts))
    return logs


def _all_of(filters: Sequence[Any]) -> Any:
    if len(filters) == 1:
        return filters[0]
    return m.accesslog_pb2.AccessLogFilter(and_filter=m.accesslog_pb2.AndFilter(filters=filters))


def _file_access_log(provider: AccessLogProvider) -> Any:
    message = m.file_access_log_pb2.FileAccessLog(path=provider.path)
    if provider.json_format:
        message.log_format.json_format.CopyFrom(struct(dict(provider.json_format)))
    else:
        text = provider.text_format or DEFAULT_TEXT_FORMAT
        # Envoy writes a text format as it is: without the newline all requests would share a line.
        text = text if text.endswith("\n") else text + "\n"
        message.log_format.text_format_source.inline_string = text
    message.log_format.omit_empty_values = provider.omit_empty_values
    return m.accesslog_pb2.AccessLog(name=FILE_ACCESS_LOG, typed_config=any_of(message))
