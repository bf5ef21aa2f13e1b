"""What the configuration of an HTTP connection manager says, ready for use. Defaults are Envoy's.

Frozen and made when configuration arrives; a new configuration is a new object, which new connections get.
Routes come through `route_config`, whose table is read once for each request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from minimesh.data_plane.http.interfaces import Filter
from minimesh.data_plane.network.http2_options import DEFAULT_HTTP2_OPTIONS, Http2Options
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.telemetry.access_log import AccessLogger
from minimesh.data_plane.telemetry.stats import StatsStore


class ServerHeader(Enum):
    """`server_header_transformation`."""

    OVERWRITE = "OVERWRITE"
    APPEND_IF_ABSENT = "APPEND_IF_ABSENT"
    PASS_THROUGH = "PASS_THROUGH"  # noqa: S105 - Envoy's word, no password


class Codec(Enum):
    """`codec_type`: what connections speak. AUTO: what ALPN agreed on, or what the first bytes are."""

    AUTO = "AUTO"
    HTTP1 = "HTTP1"
    HTTP2 = "HTTP2"


class EscapedSlashes(Enum):
    """`path_with_escaped_slashes_action`: what happens to %2f and %5c in a path."""

    KEEP_UNCHANGED = "KEEP_UNCHANGED"
    REJECT_REQUEST = "REJECT_REQUEST"
    UNESCAPE_AND_REDIRECT = "UNESCAPE_AND_REDIRECT"
    UNESCAPE_AND_FORWARD = "UNESCAPE_AND_FORWARD"


class ForwardClientCert(Enum):
    """`forward_client_cert_details`: what happens to x-forwarded-client-cert."""

    SANITIZE = "SANITIZE"
    FORWARD_ONLY = "FORWARD_ONLY"
    APPEND_FORWARD = "APPEND_FORWARD"
    SANITIZE_SET = "SANITIZE_SET"
    ALWAYS_FORWARD_ONLY = "ALWAYS_FORWARD_ONLY"


@dataclass(frozen=True, slots=True)
class ClientCertDetails:
    """`set_current_client_cert_details`: what x-forwarded-client-cert tells beside the hash."""

    subject: bool = False
    cert: bool = False
    chain: bool = False
    dns: bool = False
    uri: bool = False


@dataclass(frozen=True, slots=True)
class HttpConnectionManagerConfig:
    """One HTTP connection manager. Times in seconds, 0 switching a timeout off."""

    stat_prefix: str
    route_config: RouteConfigHolder
    stats: StatsStore = field(default_factory=StatsStore)
    listener_stat_prefix: str = ""
    """`listener.<address>`: responses are counted by listener too."""
    server_name: str = "envoy"
    server_header: ServerHeader = ServerHeader.OVERWRITE
    via: str = ""
    # --- whom to believe ---
    use_remote_address: bool = False
    xff_num_trusted_hops: int = 0
    skip_xff_append: bool = False
    generate_request_id: bool = True
    preserve_external_request_id: bool = False
    always_set_request_id_in_response: bool = False
    forward_client_cert: ForwardClientCert = ForwardClientCert.SANITIZE
    client_cert_details: ClientCertDetails = ClientCertDetails()
    scheme_to_overwrite: str = ""
    # --- paths and hosts ---
    normalize_path: bool = False
    merge_slashes: bool = False
    escaped_slashes: EscapedSlashes = EscapedSlashes.KEEP_UNCHANGED
    # --- HTTP/1 ---
    accept_http_10: bool = False
    default_host_for_http_10: str = ""
    proxy_100_continue: bool = False
    stream_error_on_invalid_http_message: bool = False
    http1_trailers: bool = False
    """`enable_trailers`: trailers are passed on; else they end here."""
    max_request_headers_bytes: int = 60 * 1024
    max_headers_count: int = 100
    max_requests_per_connection: int = 0
    upgrade_types: frozenset[str] = frozenset()
    """Lower case, as `websocket`."""
    # --- HTTP/2 ---
    codec: Codec = Codec.AUTO
    http2: Http2Options = DEFAULT_HTTP2_OPTIONS
    # --- time ---
    idle_timeout_s: float = 3600.0
    """A connection without a stream is closed after this."""
    max_connection_duration_s: float = 0.0
    max_stream_duration_s: float = 0.0
    """Routes may set one of their own."""
    stream_idle_timeout_s: float = 300.0
    request_timeout_s: float = 0.0
    """From the first byte of a request to its last."""
    request_headers_timeout_s: float = 0.0
    drain_timeout_s: float = 5.0
    delayed_close_timeout_s: float = 1.0
    # --- what happens on the way ---
    filters: tuple[Filter, ...] = ()
    """In front of the router, in order; the router itself is not among them."""
    access_logs: tuple[AccessLogger, ...] = ()
    meters_bytes: bool = False
    """An access log names bytes on the wire, so they are counted."""
    suppress_envoy_headers: bool = False
    """The router's option: no x-envoy-* headers of ours are added."""
    buffer_limit_bytes: int = 1024 * 1024
    """The listener's `per_connection_buffer_limit_bytes`: bodies kept for a retry, and unsent bytes."""
