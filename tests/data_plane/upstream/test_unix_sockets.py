"""Hosts that are Unix sockets: `address: {pipe: {path: ...}}`."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from minimesh.data_plane.admin.config_dump import write_address
from minimesh.xds import messages as m
from tests.data_plane.sockets import body_of, exchange, status_of
from tests.data_plane.test_server import envoy_file, port_of, running
from tests.data_plane.upstream.test_through_a_proxy import live_cluster, route


def cluster(path: str) -> str:
    hosts = [{"endpoint": {"address": {"pipe": {"path": path}}}}]
    assignment = {"cluster_name": "c", "endpoints": [{"lb_endpoints": hosts}]}
    return json.dumps({"name": "c", "type": "STATIC", "load_assignment": assignment})


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsocket")
    await writer.drain()
    writer.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a socket's path may have a hundred letters."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.mark.parametrize("abstract", [False, True])
async def test_requests_go_to_the_socket(folder: Path, abstract: bool) -> None:
    if abstract and not sys.platform.startswith("linux"):
        pytest.skip("abstract sockets are Linux's")
    path = str(folder / "s")
    upstream = await asyncio.start_unix_server(_answer, "\0" + path if abstract else path)
    named = f"@{path}" if abstract else path
    async with upstream, running(envoy_file(route(), clusters=cluster(named))) as server:
        response = await exchange(port_of(server))
        assert (status_of(response), body_of(response)) == (200, b"socket")
        (host,) = live_cluster(server).hosts
        assert host.name == named
        address = m.address_pb2.Address()
        write_address(address, host)
        assert address.pipe.path == named


async def test_a_socket_that_is_not_there_is_a_failed_connection(folder: Path) -> None:
    missing = cluster(str(folder / "missing"))
    async with running(envoy_file(route(), clusters=missing)) as server:
        assert status_of(await exchange(port_of(server))) == 503
