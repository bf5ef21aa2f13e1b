"""Bytes on the wire: counted where a log names them, by classes that nobody else pays for."""

from __future__ import annotations

import asyncio

import pytest

from minimesh.data_plane.http.connection_manager import ConnectionManager
from minimesh.data_plane.http.hcm_config import HttpConnectionManagerConfig
from minimesh.data_plane.http.http1.downstream import Http1ServerConnection
from minimesh.data_plane.http.http1.metering import read_header_bytes, sent_header_lines
from minimesh.data_plane.http.http2.downstream import Http2ServerConnection
from minimesh.data_plane.http.http2.metered_frames import counted_head_bytes
from minimesh.data_plane.network.connection import ConnectionInfo
from minimesh.data_plane.network.timers import TimerWheel
from minimesh.data_plane.routing.route_table import RouteConfigHolder
from minimesh.data_plane.xds_client.compile.access_log import name_wire_bytes
from minimesh.xds import messages as m


def _log(text: str) -> m.accesslog_pb2.AccessLog:
    config = m.file_access_log_pb2.FileAccessLog(path="/dev/null")
    config.log_format.text_format_source.inline_string = text
    log = m.accesslog_pb2.AccessLog()
    log.typed_config.Pack(config)
    return log


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("%BYTES_RECEIVED% %BYTES_SENT% %BYTES_RETRANSMITTED%\n", False),
        ("%DOWNSTREAM_WIRE_BYTES_SENT%\n", True),
        ("%PROTOCOL% %UPSTREAM_HEADER_BYTES_RECEIVED%", True),
        ("%DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT%", True),
        ("%REQUEST_HEADERS_BYTES%", True),
        ("%RESPONSE_TRAILERS_BYTES%", True),
        ("DOWNSTREAM_WIRE_BYTES_SENT", False),
    ],
)
def test_formats_that_name_bytes_on_the_wire(text: str, named: bool) -> None:
    assert name_wire_bytes([_log("%PROTOCOL%\n"), _log(text)]) is named


class _Scope:
    def __init__(self) -> None:
        self.timers = TimerWheel(asyncio.get_running_loop())


async def test_connections_of_a_manager_whose_logs_name_none_are_the_plain_ones() -> None:
    info = ConnectionInfo(1, "127.0.0.1:80", "127.0.0.1:1000", 80)
    for meters_bytes in (False, True):
        config = HttpConnectionManagerConfig("x", RouteConfigHolder(), meters_bytes=meters_bytes)
        manager = ConnectionManager(config)
        http1 = manager(info, _Scope())  # type: ignore[arg-type]
        http2 = manager.http2_connection(info, _Scope())  # type: ignore[arg-type]
        assert (type(http1) is Http1ServerConnection) is not meters_bytes
        assert (type(http2) is Http2ServerConnection) is not meters_bytes


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: t\r\n\r\n", 4 + 1 + 10 + 1 + 2 * 3),
        (b"GET / HTTP/1.1\nHost:\t a \nX:y\n\n", 4 + 1 + 1 + 1 + 2 * 3),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 3),
        (b"GET / HTTP/1.1\r\nX: a\r\n  b\r\n\r\n", 1 + 1 + 1 + 3),
    ],
)
def test_headers_count_without_blanks_and_three_more_each(head: bytes, count: int) -> None:
    assert read_header_bytes(head) == count


def test_sent_headers_count_as_they_are() -> None:
    assert sent_header_lines(b"HTTP/1.1 200 OK\r\na: b\r\nc: d\r\n\r\nbody\r\n\r\n") == b"a: b\r\nc: d\r\n"
    assert sent_header_lines(b"HTTP/1.1 100 Continue\r\n\r\n") == b""


def test_frames_that_go_on_with_a_header_block_count_without_their_headers() -> None:
    assert counted_head_bytes(9 + 10) == 9 + 10
    assert counted_head_bytes(9 + 16_384) == 9 + 16_384
    assert counted_head_bytes(9 + 16_384 + 9 + 5) == 9 + 16_384 + 5
