"""What configuration says about HTTP/2 connections, the same for both directions. Defaults are Envoy's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Http2Options:
    """Envoy's Http2ProtocolOptions; times in seconds."""

    max_concurrent_streams: int = 1024
    initial_stream_window_bytes: int = 16 * 1024 * 1024
    initial_connection_window_bytes: int = 24 * 1024 * 1024
    hpack_table_bytes: int = 4096
    allow_connect: bool = False
    """Whether clients may ask for other protocols by extended CONNECT (RFC 8441)."""
    stream_error_on_invalid_message: bool = False
    """A malformed message ends its stream only; otherwise the connection, as Envoy has it."""
    max_outbound_frames: int = 10_000
    """Frames of any kind waiting for the peer to take them."""
    max_outbound_control_frames: int = 1_000
    """PING, SETTINGS and RST_STREAM among them."""
    max_consecutive_empty_frames: int = 1
    """HEADERS, CONTINUATION and DATA frames in a row without payload and without END_STREAM."""
    max_priority_frames_per_stream: int = 100
    max_window_updates_per_data_frame: int = 10
    """WINDOW_UPDATE frames received for each DATA frame sent."""
    keepalive_interval_s: float = 0.0
    """How often to send PING; 0: never."""
    keepalive_timeout_s: float = 0.0
    """How long to wait for the answer before the connection is given up."""
    keepalive_jitter_percent: float = 15.0
    """How much of the interval is added to it at random."""
    keepalive_idle_interval_s: float = 0.0
    """Before a request on a connection idle for as long, a PING; 0: never."""


DEFAULT_HTTP2_OPTIONS = Http2Options()
