"""Istio's task "TCP traffic shifting" and what can go wrong on a gateway's TCP port, on both engines."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control_plane.meshes import gateway_proxy
from tests.control_plane.tcp_lab import TCP_ECHO_ROUTE, TCP_LAB
from tests.traffic.engines import ENGINES, Served, serve
from tests.traffic.servers import pod_at, tcp_echo

PORT = 31400
ALL_TO_V1 = TCP_ECHO_ROUTE.replace("weight: 80", "weight: 100").replace("weight: 20", "weight: 0")
HOST = "tcp-echo.default.svc.cluster.local"


@contextlib.asynccontextmanager
async def gateway(engine: str, folder: Path, route: str) -> AsyncIterator[Served]:
    async with tcp_echo("one") as first, tcp_echo("two") as second:
        pods = [
            pod_at(first, {"app": "tcp-echo", "version": "v1"}, 9000),
            pod_at(second, {"app": "tcp-echo", "version": "v2"}, 9000),
        ]
        async with serve(engine, gateway_proxy(), [*TCP_LAB[:-1], route, *pods], folder) as served:
            yield served


async def say(served: Served, text: bytes = b"hello") -> bytes:
    """Send, close the sending half as `nc` does, and read all; empty when the connection was refused."""
    reader, writer = await served.connect(PORT)
    try:
        writer.write(text)
        writer.write_eof()
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


def fields(line: str) -> list[str]:
    """Of Istio's log line: what stays the same in each run (flags, failure, bytes, cluster)."""
    parts = line.split(" ")
    quoted_request = parts[1:4]
    return [*quoted_request, *parts[4:7], parts[8], *parts[9:11]]


@pytest.mark.parametrize("engine", ENGINES)
async def test_all_connections_go_to_v1_then_some_to_v2(engine: str, tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    async with gateway(engine, tmp_path / "before", ALL_TO_V1) as served:
        assert {await say(served) for _ in range(10)} == {b"one hello"}
    async with gateway(engine, tmp_path, TCP_ECHO_ROUTE) as served:
        answers = Counter([await say(served) for _ in range(200)])
    assert set(answers) == {b"one hello", b"two hello"}
    # 20 % of 200: less than one run in a million is outside of this.
    assert 12 <= answers[b"two hello"] <= 75


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_log_line_of_a_connection(engine: str, tmp_path: Path) -> None:
    async with gateway(engine, tmp_path, ALL_TO_V1) as served:
        assert await say(served) == b"one hello"
        [line] = await served.log_lines()
    assert fields(line) == ['"-', "-", '-"', "0", "-", "-", '"-"', "5", "9"]
    assert f"outbound|9000|v1|{HOST} 127.0.0.1:" in line


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_subset_without_pods(engine: str, tmp_path: Path) -> None:
    nobody = ALL_TO_V1.replace("subset: v1", "subset: v3")
    async with gateway(engine, tmp_path, nobody) as served:
        assert await say(served) == b""
        [line] = await served.log_lines()
    # The subset is unknown, so that there is no such cluster.
    assert fields(line)[:5] == ['"-', "-", '-"', "0", "NC"]


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_pod_that_does_not_answer(engine: str, tmp_path: Path) -> None:
    gone = pod_at(1, {"app": "tcp-echo", "version": "v1"}, 9000)
    async with serve(engine, gateway_proxy(), [*TCP_LAB[:-1], ALL_TO_V1, gone], tmp_path) as served:
        assert await say(served) == b""
        [line] = await served.log_lines()
    assert fields(line)[:5] == ['"-', "-", '-"', "0", "UF,URX"]
    assert "delayed_connect_error:_Connection_refused" in line


@pytest.mark.parametrize("engine", ENGINES)
async def test_no_pods(engine: str, tmp_path: Path) -> None:
    async with serve(engine, gateway_proxy(), [*TCP_LAB[:-1], ALL_TO_V1], tmp_path) as served:
        assert await say(served) == b""
        [line] = await served.log_lines()
    assert fields(line)[:5] == ['"-', "-", '-"', "0", "UH"]
