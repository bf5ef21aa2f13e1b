"""What a cluster's configuration says about HTTP towards its hosts, compiled."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from minimesh.data_plane.network.http2_options import Http2Options
from minimesh.data_plane.upstream.cluster_settings import ClusterSettings, UpstreamProtocol
from minimesh.data_plane.xds_client.compile.error import CompileError
from minimesh.data_plane.xds_client.compile.http2_options import compile_http2_options
from minimesh.data_plane.xds_client.compile.upstream_http import with_http_options
from minimesh.xds import messages as m

_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def compiled(extension: str = "", cluster: str = "{}") -> ClusterSettings:
    """The settings of a cluster with these options in the extension, and these fields of its own."""
    message = m.json_format.ParseDict(yaml.safe_load(cluster), m.cluster_pb2.Cluster(name="c"))
    if extension:
        options = m.json_format.ParseDict(
            yaml.safe_load(extension), m.http_protocol_options_pb2.HttpProtocolOptions()
        )
        message.typed_extension_protocol_options[_OPTIONS].Pack(options)
    return with_http_options(ClusterSettings("c"), message, "")


def http2_options(text: str) -> Http2Options:
    message: Any = m.json_format.ParseDict(yaml.safe_load(text), m.protocol_pb2.Http2ProtocolOptions())
    return compile_http2_options(message, "")


TLS = f'{{transport_socket: {{name: tls, typed_config: {{"@type": {_TLS}}}}}}}'


@pytest.mark.parametrize(
    ("extension", "cluster", "expected"),
    [
        ("", "{}", UpstreamProtocol.HTTP1),
        ("", "{http2_protocol_options: {}}", UpstreamProtocol.HTTP2),
        ("explicit_http_config: {http_protocol_options: {}}", "{}", UpstreamProtocol.HTTP1),
        ("explicit_http_config: {http2_protocol_options: {}}", "{}", UpstreamProtocol.HTTP2),
        ("use_downstream_protocol_config: {}", "{}", UpstreamProtocol.AS_DOWNSTREAM),
        ("auto_config: {}", TLS, UpstreamProtocol.BY_ALPN),
        # The extension counts, not what the cluster says itself.
        (
            "explicit_http_config: {http_protocol_options: {}}",
            "{http2_protocol_options: {}}",
            UpstreamProtocol.HTTP1,
        ),
    ],
)
def test_the_protocol(extension: str, cluster: str, expected: UpstreamProtocol) -> None:
    settings = compiled(extension, cluster)
    assert settings.protocol is expected
    assert settings.connect_http2 is not None


def test_options_of_both_protocols_are_read_where_both_may_be_spoken() -> None:
    settings = compiled(
        "use_downstream_protocol_config:"
        " {http_protocol_options: {enable_trailers: true},"
        " http2_protocol_options: {max_concurrent_streams: 7}}"
    )
    assert settings.http1_trailers
    assert settings.http2_options.max_concurrent_streams == 7


def test_common_options() -> None:
    settings = compiled(
        "{explicit_http_config: {http2_protocol_options: {}}, common_http_protocol_options:"
        " {idle_timeout: 5s, max_connection_duration: 60s, max_requests_per_connection: 9}}"
    )
    assert settings.idle_timeout_s == 5.0
    assert settings.max_connection_duration_s == 60.0
    assert settings.max_requests_per_connection == 9


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        (
            "auto_config: {}",
            "auto_config: ALPN configured for cluster c which has a non-ALPN transport socket",
        ),
        ("explicit_http_config: {http3_protocol_options: {}}", "http3_protocol_options: not supported"),
        ("common_http_protocol_options: {idle_timeout: 1s}", "upstream_protocol_options: must be set"),
        (
            "explicit_http_config: {http2_protocol_options: {allow_metadata: true}}",
            "http2_protocol_options.allow_metadata: not supported",
        ),
    ],
)
def test_what_is_refused_is_named(extension: str, reason: str) -> None:
    with pytest.raises(CompileError) as raised:
        compiled(extension)
    assert str(raised.value).endswith(reason)


def test_defaults_are_envoys() -> None:
    assert http2_options("{}") == Http2Options()


def test_keepalive() -> None:
    options = http2_options(
        "{connection_keepalive: {interval: 30s, timeout: 5s, interval_jitter: {value: 10},"
        " connection_idle_interval: 1s}}"
    )
    assert (options.keepalive_interval_s, options.keepalive_timeout_s) == (30.0, 5.0)
    assert (options.keepalive_jitter_percent, options.keepalive_idle_interval_s) == (10.0, 1.0)


@pytest.mark.parametrize(
    "text",
    [
        "{max_concurrent_streams: 0}",
        "{initial_stream_window_size: 65534}",
        "{initial_connection_window_size: 2147483648}",
        "{connection_keepalive: {interval: 1s}}",
        "{max_outbound_frames: 0}",
    ],
)
def test_values_that_envoy_refuses_are_refused(text: str) -> None:
    with pytest.raises(CompileError):
        http2_options(text)
