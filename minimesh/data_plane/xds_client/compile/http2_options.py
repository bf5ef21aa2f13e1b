"""Http2ProtocolOptions -> `network.http2_options`, for listeners and clusters alike."""

from __future__ import annotations

from typing import Any

from minimesh.data_plane.network.http2_options import DEFAULT_HTTP2_OPTIONS, Http2Options
from minimesh.data_plane.xds_client.compile.error import CompileError, join, refuse_unsupported
from minimesh.data_plane.xds_client.compile.route_environment import optional_seconds

_SUPPORTED = frozenset(
    {
        "allow_connect",
        "connection_keepalive",
        "hpack_table_size",
        "initial_connection_window_size",
        "initial_stream_window_size",
        "max_concurrent_streams",
        "max_consecutive_inbound_frames_with_empty_payload",
        "max_inbound_priority_frames_per_stream",
        "max_inbound_window_update_frames_per_data_frame_sent",
        "max_outbound_control_frames",
        "max_outbound_frames",
        "override_stream_error_on_invalid_http_message",
        "stream_error_on_invalid_http_messaging",
        "use_oghttp2_codec",  # which library Envoy's codec is made of: no difference on the wire
    }
)
_KEEPALIVE = frozenset({"connection_idle_interval", "interval", "interval_jitter", "timeout"})
_GREATEST = 2**31 - 1
_LEAST_WINDOW = 65_535


def compile_http2_options(message: Any, path: str) -> Http2Options:
    """An Http2ProtocolOptions. Raises CompileError."""
    refuse_unsupported(message, path, _SUPPORTED)
    default = DEFAULT_HTTP2_OPTIONS
    keepalive = message.connection_keepalive
    where = join(path, "connection_keepalive")
    refuse_unsupported(keepalive, where, _KEEPALIVE)
    timeout_s = optional_seconds(keepalive, "timeout", where) or 0.0
    if message.HasField("connection_keepalive") and not timeout_s:
        raise CompileError(join(where, "timeout"), "must be set and greater than zero")

    def limit(field: str, fallback: int, least: int = 0, greatest: int = _GREATEST) -> int:
        return _limit(message, path, field, fallback, least, greatest)

    return Http2Options(
        max_concurrent_streams=limit("max_concurrent_streams", default.max_concurrent_streams, 1),
        initial_stream_window_bytes=limit(
            "initial_stream_window_size", default.initial_stream_window_bytes, _LEAST_WINDOW
        ),
        initial_connection_window_bytes=limit(
            "initial_connection_window_size", default.initial_connection_window_bytes, _LEAST_WINDOW
        ),
        hpack_table_bytes=limit("hpack_table_size", default.hpack_table_bytes, 0, 2**32 - 1),
        allow_connect=message.allow_connect,
        stream_error_on_invalid_message=message.override_stream_error_on_invalid_http_message.value
        or message.stream_error_on_invalid_http_messaging,
        max_outbound_frames=limit("max_outbound_frames", default.max_outbound_frames, 1),
        max_outbound_control_frames=limit(
            "max_outbound_control_frames", default.max_outbound_control_frames, 1
        ),
        max_consecutive_empty_frames=limit(
            "max_consecutive_inbound_frames_with_empty_payload", default.max_consecutive_empty_frames
        ),
        max_priority_frames_per_stream=limit(
            "max_inbound_priority_frames_per_stream", default.max_priority_frames_per_stream
        ),
        max_window_updates_per_data_frame=limit(
            "max_inbound_window_update_frames_per_data_frame_sent",
            default.max_window_updates_per_data_frame,
            1,
        ),
        keepalive_interval_s=optional_seconds(keepalive, "interval", where) or 0.0,
        keepalive_timeout_s=timeout_s,
        keepalive_jitter_percent=keepalive.interval_jitter.value
        if keepalive.HasField("interval_jitter")
        else default.keepalive_jitter_percent,
        keepalive_idle_interval_s=optional_seconds(keepalive, "connection_idle_interval", where) or 0.0,
    )


def _limit(message: Any, path: str, field: str, fallback: int, least: int, greatest: int) -> int:
    """The value of a wrapper field within Envoy's bounds, or `fallback` when it is not set."""
    if not message.HasField(field):
        return fallback
    value = int(getattr(message, field).value)
    if not least <= value <= greatest:
        raise CompileError(join(path, field), f"must be between {least} and {greatest}")
    return value
