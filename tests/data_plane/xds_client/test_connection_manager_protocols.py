"""What a connection manager's configuration says about protocols and time."""

from __future__ import annotations

from typing import Any

import pytest

from minimesh.data_plane.http.hcm_config import Codec, HttpConnectionManagerConfig
from minimesh.data_plane.network.address_map import AddressMap
from minimesh.data_plane.routing.actions import ClusterHandle
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log_file import AccessLogFiles
from minimesh.data_plane.telemetry.stats import StatsStore
from minimesh.data_plane.xds_client.compile.context import CompileContext
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.http_connection_manager import compile_http_connection_manager
from minimesh.xds import messages as m

ROUTER = {
    "name": "envoy.filters.http.router",
    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
}


def compiled(**settings: Any) -> HttpConnectionManagerConfig:
    message = m.http_connection_manager_pb2.HttpConnectionManager()
    source = {"stat_prefix": "s", "route_config": {"name": "r"}, "http_filters": [ROUTER], **settings}
    m.json_format.ParseDict(source, message)
    context = CompileContext(
        StatsStore(),
        AccessLogFiles(),
        AddressMap(),
        ClusterHandle,
        ClusterHandle,
        lambda _: RouteConfigHolder(),
    )
    return compile_http_connection_manager(message, "hcm", context, buffer_limit_bytes=1).manager.config


def test_defaults_are_envoys() -> None:
    config = compiled()
    assert config.codec is Codec.AUTO
    assert config.http2.max_concurrent_streams == 1024
    assert config.http2.initial_stream_window_bytes == 16 * 1024 * 1024
    assert not config.http2.stream_error_on_invalid_message
    assert (config.max_connection_duration_s, config.max_stream_duration_s) == (0, 0)
    assert not config.http1_trailers


@pytest.mark.parametrize("codec", list(Codec))
def test_the_codec(codec: Codec) -> None:
    assert compiled(codec_type=codec.value).codec is codec


def test_http3_is_refused_by_name() -> None:
    with pytest.raises(CompileError, match="HTTP3"):
        compiled(codec_type="HTTP3")


def test_limits_in_time() -> None:
    config = compiled(
        common_http_protocol_options={"max_connection_duration": "3s", "max_stream_duration": "0.5s"},
        http_protocol_options={"enable_trailers": True},
    )
    assert (config.max_connection_duration_s, config.max_stream_duration_s) == (3, 0.5)
    assert config.http1_trailers


def test_what_http2_says_of_malformed_messages_counts_most() -> None:
    strict = {"http2_protocol_options": {"override_stream_error_on_invalid_http_message": False}}
    assert compiled(stream_error_on_invalid_http_message=True).http2.stream_error_on_invalid_message
    assert not compiled(
        stream_error_on_invalid_http_message=True, **strict
    ).http2.stream_error_on_invalid_message


def test_limits_out_of_bounds_are_refused_by_name() -> None:
    with pytest.raises(CompileError, match="max_concurrent_streams") as refused:
        compiled(http2_protocol_options={"max_concurrent_streams": 0})
    assert refused.value.field == "hcm.http2_protocol_options.max_concurrent_streams"
