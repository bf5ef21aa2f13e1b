"""What is known about one request (or one TCP connection) once it is over: the subject of the access log.

One object is made per stream and filled in by whoever learns a fact; the compiled access-log formats read its
attributes by name. It owns no behaviour beyond the durations derived from its marks, and knows no protobuf.

Moments are `float` seconds of the event loop's clock (`loop.time()`, monotonic), or None when the moment
never came; only `start_time` is wall-clock time. A fact that is None is printed as `-` (and null in a JSON
log).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from minimesh.data_plane.telemetry.bytes_meter import NO_BYTES, BytesMeter


class HeaderLookup(Protocol):
    """Reads a head, of a request or a response, as it was when the log line is written."""

    def header_values(self, name: str, /) -> Sequence[str]:
        """All values of the header with this lower-case name, in order; empty when it is absent."""


class StreamInfo:
    """The facts of one stream. Plain attributes, set directly: nothing here validates.

    Paths and hosts: `path` and `authority` are what the request says now, so after a rewrite the rewritten
    ones; `original_path` is the value of x-envoy-original-path, if the request carries it. The default log
    format prints the latter, and falls back on the former.
    """

    __slots__ = (
        "__dict__",
        "authority",
        "bytes_received",
        "bytes_sent",
        "completed_at",
        "connection_id",
        "downstream_direct_local_address",
        "downstream_direct_remote_address",
        "downstream_local_address",
        "downstream_remote_address",
        "filter_chain_name",
        "first_upstream_rx_at",
        "first_upstream_tx_at",
        "last_downstream_rx_at",
        "method",
        "original_path",
        "path",
        "protocol",
        "request",
        "request_id",
        "requested_server_name",
        "response_code",
        "response_code_details",
        "response_flags",
        "response_headers",
        "route_name",
        "start_time",
        "started_at",
        "upstream_cluster",
        "upstream_connection_id",
        "upstream_host",
        "upstream_local_address",
        "upstream_protocol",
        "upstream_request_attempt_count",
        "upstream_service_time_ms",
        "upstream_transport_failure_reason",
        "user_agent",
        "virtual_host_name",
        "x_forwarded_for",
    )  # fmt: skip

    # What few streams have to tell has its default in the class: a slot would cost every stream.
    upstream_connect_started_at: float | None = None
    upstream_connect_finished_at: float | None = None
    last_upstream_tx_at: float | None = None
    last_downstream_tx_at: float | None = None
    health_check: bool = False
    response_trailers: HeaderLookup | None = None
    #: Not broken off in its midst.
    response_is_complete: bool = True
    connection_termination_details: str | None = None
    #: Counted only where an access log names them.
    downstream_bytes: BytesMeter = NO_BYTES
    upstream_bytes: BytesMeter = NO_BYTES
    #: Names and values of headers, as the proxy knows them in the end; counted likewise.
    request_headers_bytes: int = 0
    response_headers_bytes: int = 0
    response_trailers_bytes: int = 0
    downstream_transport_failure_reason: str | None = None
    downstream_local_close_reason: str | None = None
    #: The facts of a TLS connection by operator name without the DOWNSTREAM_ prefix
    #: ("TLS_VERSION", "PEER_SUBJECT"); None on plain text.
    tls: dict[str, str] | None = None
    virtual_cluster_name: str | None = None
    upstream_host_name: str | None = None
    dynamic_metadata: dict[str, Any] | None = None
    filter_state: dict[str, Any] | None = None
    route_metadata: dict[str, Any] | None = None
    upstream_cluster_metadata: dict[str, Any] | None = None
    upstream_host_metadata: dict[str, Any] | None = None
    listener_metadata: dict[str, Any] | None = None
    stream_id: str | None = None

    def __init__(self, start_time: float = 0.0, started_at: float = 0.0) -> None:
        # --- when ---
        #: Wall-clock seconds since the epoch at the first byte (`time.time()`).
        self.start_time = start_time
        #: The same moment on the loop's clock; every `*_at` below is on that clock too.
        self.started_at = started_at
        self.last_downstream_rx_at: float | None = None
        self.first_upstream_tx_at: float | None = None
        self.first_upstream_rx_at: float | None = None
        self.completed_at: float | None = None
        # --- the request ---
        #: "HTTP/1.0" or "HTTP/1.1"; None on a TCP connection.
        self.protocol: str | None = None
        self.method: str | None = None
        self.path: str | None = None
        self.original_path: str | None = None
        self.authority: str | None = None
        self.user_agent: str | None = None
        #: x-forwarded-for and x-request-id as sent upstream.
        self.x_forwarded_for: str | None = None
        self.request_id: str | None = None
        #: Every other request header is read from here.
        self.request: HeaderLookup | None = None
        # --- the response ---
        self.response_headers: HeaderLookup | None = None
        #: 0 when no response was begun.
        self.response_code = 0
        self.response_code_details: str | None = None
        #: Envoy's short flags ("UF", "URX") joined by commas in the order they were set; "" for none.
        self.response_flags = ""
        self.upstream_service_time_ms: int | None = None
        # --- how much: bodies without framing ---
        self.bytes_received = 0
        self.bytes_sent = 0
        # --- the downstream connection; addresses are "ip:port" ---
        self.downstream_local_address: str | None = None
        self.downstream_direct_local_address: str | None = None
        self.downstream_remote_address: str | None = None
        self.downstream_direct_remote_address: str | None = None
        self.requested_server_name: str | None = None
        self.connection_id: int | None = None
        self.filter_chain_name: str | None = None
        # --- where it went ---
        self.route_name: str | None = None
        self.virtual_host_name: str | None = None
        self.upstream_cluster: str | None = None
        #: "ip:port" of the last host tried.
        self.upstream_host: str | None = None
        self.upstream_local_address: str | None = None
        self.upstream_protocol: str | None = None
        self.upstream_connection_id: int | None = None
        self.upstream_transport_failure_reason: str | None = None
        self.upstream_request_attempt_count = 0
        # --- what filters and configuration left; namespace -> nested plain values ---

    def add_flag(self, flag: str) -> None:
        """Set one of Envoy's short response flags; setting it again changes nothing."""
        flags = self.response_flags
        if not flags:
            self.response_flags = flag
        elif flag not in flags.split(","):
            self.response_flags = f"{flags},{flag}"

    def upstream_meter(self) -> BytesMeter:
        """What counts the upstream's side: made for the first try."""
        if self.upstream_bytes is NO_BYTES:
            self.upstream_bytes = BytesMeter()
        return self.upstream_bytes

    @property
    def upstream_tx_done_at(self) -> float | None:
        """When the last byte of the request went upstream; most go in one piece, so nobody notes it twice."""
        if self.last_downstream_rx_at is None:
            return None
        return self.last_upstream_tx_at or self.first_upstream_tx_at

    @property
    def upstream_rx_done_at(self) -> float | None:
        """When the last byte of a whole response came: in the turn that ends the stream."""
        if self.first_upstream_rx_at is None or not self.response_is_complete:
            return None
        return self.completed_at

    @property
    def downstream_tx_begun_at(self) -> float | None:
        """When the response began to go out: as soon as it came in, or was made here at the stream's end."""
        if not self.response_code:
            return None
        return self.first_upstream_rx_at or self.completed_at

    @property
    def downstream_tx_done_at(self) -> float | None:
        """When the last byte of the response was written; unless anybody says, that is the stream's end."""
        complete = self.response_code and self.response_is_complete
        return self.last_downstream_tx_at or (self.completed_at if complete else None)

    @property
    def duration_ms(self) -> int | None:
        """Whole milliseconds from the first byte to the end of the stream; None while it runs."""
        completed_at = self.completed_at
        return None if completed_at is None else int((completed_at - self.started_at) * 1000)
