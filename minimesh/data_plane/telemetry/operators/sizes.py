"""Operators of how much went over the wire."""

from __future__ import annotations

from minimesh.data_plane.telemetry.operators.expression import Expression, number_of

PLAIN: dict[str, Expression] = {
    "BYTES_RECEIVED": number_of("bytes_received"),
    "BYTES_SENT": number_of("bytes_sent"),
    "BYTES_RETRANSMITTED": Expression("0", nullable=False, kind="number"),
    "PACKETS_RETRANSMITTED": Expression("0", nullable=False, kind="number"),
    "DOWNSTREAM_WIRE_BYTES_SENT": number_of("downstream_bytes.wire_sent"),
    "DOWNSTREAM_WIRE_BYTES_RECEIVED": number_of("downstream_bytes.wire_received"),
    "DOWNSTREAM_HEADER_BYTES_SENT": number_of("downstream_bytes.header_sent"),
    "DOWNSTREAM_HEADER_BYTES_RECEIVED": number_of("downstream_bytes.header_received"),
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": number_of("downstream_bytes.decompressed_header_sent"),
    "DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": number_of(
        "downstream_bytes.decompressed_header_received"
    ),
    "UPSTREAM_WIRE_BYTES_SENT": number_of("upstream_bytes.wire_sent"),
    "UPSTREAM_WIRE_BYTES_RECEIVED": number_of("upstream_bytes.wire_received"),
    "UPSTREAM_HEADER_BYTES_SENT": number_of("upstream_bytes.header_sent"),
    "UPSTREAM_HEADER_BYTES_RECEIVED": number_of("upstream_bytes.header_received"),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT": number_of("upstream_bytes.decompressed_header_sent"),
    "UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": number_of("upstream_bytes.decompressed_header_received"),
    "REQUEST_HEADERS_BYTES": number_of("request_headers_bytes"),
    "RESPONSE_HEADERS_BYTES": number_of("response_headers_bytes"),
    "RESPONSE_TRAILERS_BYTES": number_of("response_trailers_bytes"),
}
