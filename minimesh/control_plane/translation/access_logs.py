"""Access logs of listeners and filters, as Telemetry and MeshConfig ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minimesh.control_plane.push_context.telemetry import DEFAULT_TEXT_FORMAT, TrafficMode
from minimesh.control_plane.translation.protobuf_values import any_of, struct
from minimesh.xds import messages as m

if TYPE_CHECKING:
    from minimesh.control_plane.push_context import PushContext
    from minimesh.control_plane.push_context.mesh_config import AccessLogProvider
    from minimesh.control_plane.translation.proxy import Proxy

FILE_ACCESS_LOG = "envoy.access_loggers.file"


def build_access_logs(proxy: Proxy, push: PushContext, mode: TrafficMode) -> list[Any]:
    """The logs for requests and connections on one side of a proxy; empty when logging is off."""
    providers = push.telemetry.access_logs(proxy.namespace, proxy.labels, mode)
    return [_file_access_log(provider) for provider in providers]


def build_listener_access_logs(proxy: Proxy, push: PushContext, mode: TrafficMode) -> list[Any]:
    """The same logs on the listener itself, for connections that no filter chain wanted (flag NR)."""
    logs = build_access_logs(proxy, push, mode)
    for log in logs:
        log.filter.response_flag_filter.flags.append("NR")
    return logs


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
