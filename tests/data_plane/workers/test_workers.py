"""A proxy of several processes: one port, one ADS stream, one admin API."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from minimesh.xds.ads_protocol import Reaction
from tests.data_plane.sockets import body_of, exchange, free_port, status_of, upstream
from tests.data_plane.test_server import envoy_file, static_cluster
from tests.data_plane.workers.proxy_process import ProxyProcess, is_running, proxy_process, until
from tests.data_plane.xds_client.control_plane import (
    ControlPlane,
    cluster,
    control_plane,
    endpoints,
    listener,
    routes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")

_DIRECT = "{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: 'Hello!'}}}"
_SPREAD = r"worker_\d.downstream_cx_total"
#: Chance that all of them reach one of two workers: 2 in 2**40.
_MANY = 40


@asynccontextmanager
async def two_workers(
    tmp_path: Path, *routes_: str, clusters: str = "", manager: str = "", arguments: tuple[str, ...] = ()
) -> AsyncIterator[ProxyProcess]:
    """Two workers on a file with these routes."""
    port, admin = free_port(), free_port()
    config = tmp_path / "envoy.yaml"
    config.write_text(envoy_file(*(routes_ or (_DIRECT,)), port=port, clusters=clusters, manager=manager))
    async with proxy_process(
        "-c", str(config), "--concurrency", "2", *arguments, port=port, admin=admin
    ) as proxy:
        yield proxy


@asynccontextmanager
async def two_workers_of(plane: ControlPlane, *arguments: str) -> AsyncIterator[ProxyProcess]:
    """Two workers that follow a control plane."""
    port, admin = free_port(), free_port()
    async with proxy_process(
        "--xds", f"127.0.0.1:{plane.port}", "--node-id", "sidecar~1", "--node-cluster", "c",
        "--concurrency", "2", *arguments, port=port, admin=admin,
    ) as proxy:  # fmt: skip
        yield proxy


def _logging(path: str) -> str:
    file_log = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return f"""access_log:
          - name: file
            typed_config:
              "@type": {file_log}
              path: {path}
              log_format: {{text_format_source: {{inline_string: "<%REQ(:PATH)%>\\n"}}}}"""


# --- one port ---


async def test_both_workers_get_connections(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        assert await proxy.requests(_MANY) == {b"Hello!"}
        spread = await proxy.stats(_SPREAD)
        assert sum(spread.values()) == _MANY
        assert len(spread) == 2
        assert all(spread.values())


async def test_a_worker_that_dies_is_reported_and_replaced(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        first, second = proxy.workers()
        os.kill(first, signal.SIGKILL)

        async def another() -> bool:
            workers = proxy.workers()
            return len(workers) == 2 and first not in workers

        await until(another)
        # None is refused or lost: what reaches a worker that is gone waits for its successor.
        assert await proxy.requests(_MANY) == {b"Hello!"}
        assert second in proxy.workers()
        assert await proxy.end() == 0
        assert re.search(rf"worker \d, process {first}, ended by SIGKILL; starting another", proxy.errors)


async def test_an_address_in_use_is_a_reason_not_to_start(tmp_path: Path) -> None:
    async with upstream(b"") as taken:
        config = tmp_path / "envoy.yaml"
        config.write_text(envoy_file(_DIRECT, port=taken))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "minimesh", "proxy", "-c", str(config), "--concurrency", "2",
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert f"cannot bind '127.0.0.1:{taken}': Address already in use" in said.decode()


# --- one ADS stream ---


async def test_an_update_is_acknowledged_when_every_worker_has_it() -> None:
    async with control_plane() as plane, two_workers_of(plane) as proxy:
        plane.resources = {
            "LDS": [listener("web", proxy.port, "r")],
            "RDS": [routes("r", "", direct_response={"status": 201})],
        }
        await plane.push("LDS", plane.resources["LDS"])
        await plane.reaction("RDS")
        assert plane.streams == 1
        for status in (202, 203, 204):
            await plane.push("RDS", [routes("r", "", direct_response={"status": status})])
            assert (await plane.reaction("RDS")).reaction is Reaction.ACKED
            # At once, without waiting: no worker is left behind when the ACK is there.
            answers = [await exchange(proxy.port) for _ in range(_MANY)]
            assert {status_of(answer) for answer in answers} == {status}
        assert all((await proxy.stats(_SPREAD)).values())


async def test_what_cannot_be_is_refused_once_and_the_last_good_stays() -> None:
    async with control_plane() as plane, two_workers_of(plane) as proxy:
        await plane.push("LDS", [listener("web", proxy.port, "r")])
        await plane.push("RDS", [routes("r", "", direct_response={"status": 201})])
        await until(lambda: _serves(proxy, 201))
        await plane.push("LDS", [listener("web", proxy.port, "r", tracing={})])
        refused = await plane.reaction("LDS", Reaction.NACKED)
        assert "tracing" in refused.error
        assert await proxy.requests(_MANY) == {b""}


async def test_an_address_that_cannot_be_had_is_refused_and_all_else_applied() -> None:
    async with upstream(b"") as taken, control_plane() as plane, two_workers_of(plane) as proxy:
        plane.resources["RDS"] = [routes("r", "", direct_response={"status": 201})]
        await plane.push("LDS", [listener("web", proxy.port, "r"), listener("other", taken, "r")])
        refused = await plane.reaction("RDS", Reaction.NACKED)
        assert "Address already in use" in refused.error
        await until(lambda: _serves(proxy, 201))


async def test_a_later_worker_gets_the_configuration_of_the_others() -> None:
    async with upstream(b"hello") as up, control_plane() as plane, two_workers_of(plane) as proxy:
        plane.resources = {
            "CDS": [cluster("up")],
            "EDS": [endpoints("up", up)],
            "LDS": [listener("web", proxy.port, "r")],
            "RDS": [routes("r", "up")],
        }
        for short in ("CDS", "LDS"):
            await plane.push(short, plane.resources[short])
        await until(lambda: _serves(proxy, 200))
        before = proxy.workers()
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        async def replaced() -> bool:
            workers = proxy.workers()
            return len(workers) == 2 and not set(workers) & set(before)

        await until(replaced)
        assert await proxy.requests(_MANY) == {b"hello"}


async def _serves(proxy: ProxyProcess, status: int) -> bool:
    try:
        return status_of(await exchange(proxy.port)) == status
    except OSError:
        return False


# --- one admin API ---


async def test_statistics_are_those_of_all_workers(tmp_path: Path) -> None:
    async with upstream(b"x") as up:
        route = "{match: {prefix: /}, route: {cluster: a}}"
        async with two_workers(tmp_path, route, clusters=static_cluster("a", up)) as proxy:
            await proxy.requests(_MANY)
            assert (await proxy.stats("hello.downstream_rq_2xx$")).popitem()[1] == _MANY
            assert (await proxy.stats("^cluster.a.upstream_rq_200$")).popitem()[1] == _MANY
            assert f"a::127.0.0.1:{up}::rq_success::{_MANY}" in await proxy.get("/clusters")
            # What follows from configuration is not multiplied by the number of workers.
            assert (await proxy.stats("^cluster.a.membership_total$")).popitem()[1] == 1
            exposition = await proxy.get("/stats/prometheus?filter=hello.downstream_rq_time")
            assert re.search(rf"downstream_rq_time_count\{{.*\}} {_MANY}\n", exposition)
            await proxy.post("/reset_counters")
            assert (await proxy.stats("hello.downstream_rq_2xx$")).popitem()[1] == 0


async def test_a_host_that_one_worker_has_ejected_shows_its_flag(tmp_path: Path) -> None:
    async with failing_upstream() as up:
        route = "{match: {prefix: /}, route: {cluster: a}}"
        watched = static_cluster(
            "a", up, options="outlier_detection: {consecutive_5xx: 1, max_ejection_percent: 100}"
        )
        async with two_workers(tmp_path, route, clusters=watched) as proxy:
            assert f"a::127.0.0.1:{up}::health_flags::healthy" in await proxy.get("/clusters")
            await proxy.requests(1)
            assert f"a::127.0.0.1:{up}::health_flags::/failed_outlier_check" in await proxy.get("/clusters")


@asynccontextmanager
async def failing_upstream() -> AsyncIterator[int]:
    """Answers 500; its port."""

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(fail, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_what_a_dead_worker_had_counted_still_counts(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        await proxy.requests(_MANY)
        assert (await proxy.stats("hello.downstream_rq_2xx$")).popitem()[1] == _MANY
        for pid in proxy.workers():
            os.kill(pid, signal.SIGKILL)
        await proxy.requests(3)
        assert (await proxy.stats("hello.downstream_rq_2xx$")).popitem()[1] == _MANY + 3


async def test_a_worker_that_hangs_does_not_hold_up_the_admin_api(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        await proxy.requests(_MANY)
        spread = await proxy.stats(_SPREAD)
        first = proxy.workers()[0]
        os.kill(first, signal.SIGSTOP)
        try:
            assert await proxy.stats(_SPREAD) == spread
        finally:
            os.kill(first, signal.SIGCONT)


async def test_server_info_and_listeners_are_those_of_one_proxy(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        assert '"concurrency": 2' in await proxy.get("/server_info")
        assert await proxy.get("/listeners") == f"listener_0::127.0.0.1:{proxy.port}\n"
        assert "listener_0" in await proxy.get("/config_dump")


async def test_listeners_of_all_workers_drain(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        assert await proxy.post("/drain_listeners") == "OK\n"
        for _ in range(8):
            with pytest.raises(ConnectionRefusedError):
                await exchange(proxy.port)


# --- one log ---


async def test_lines_of_all_workers_come_out_whole_in_one_file(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with two_workers(tmp_path, manager=_logging(str(log))) as proxy:
        await proxy.requests(_MANY, "/" + "p" * 300)
        assert await proxy.end() == 0
    assert log.read_text() == f"</{'p' * 300}>\n" * _MANY


async def test_lines_of_all_workers_come_out_whole_in_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    port, admin = free_port(), free_port()
    config = tmp_path / "envoy.yaml"
    config.write_text(envoy_file(_DIRECT, port=port, manager=_logging("/dev/stdout")))
    async with proxy_process(
        "-c", str(config), "--concurrency", "2", port=port, admin=admin, stdout=writer
    ) as proxy:
        os.close(writer)
        # More than the pipe holds (64 KiB), so that writers have to wait in the middle of a batch.
        collected = asyncio.get_running_loop().run_in_executor(None, _read_slowly, reader)
        await asyncio.gather(*(proxy.requests(40, "/" + letter * 400) for letter in "abcdefgh"))
        assert await proxy.end() == 0
        lines = (await collected).decode().splitlines()
    assert sorted(lines) == sorted(f"</{letter * 400}>" for letter in "abcdefgh" for _ in range(40))


def _read_slowly(descriptor: int) -> bytes:
    read = []
    while piece := os.read(descriptor, 1000):
        read.append(piece)
    os.close(descriptor)
    return b"".join(read)


async def test_sigusr1_reopens_the_log_in_every_worker(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    async with two_workers(tmp_path, manager=_logging(str(log))) as proxy:
        log.rename(tmp_path / "access.log.1")
        proxy.process.send_signal(signal.SIGUSR1)

        async def reopened() -> bool:
            return log.exists() and all(_has_open(pid, log) for pid in proxy.workers())

        await until(reopened)
        await proxy.requests(_MANY, "/new")
        assert await proxy.end() == 0
    assert log.read_text() == "</new>\n" * _MANY
    assert (tmp_path / "access.log.1").read_text() == ""


def _has_open(pid: int, path: Path) -> bool:
    return any(
        os.path.realpath(descriptor) == str(path.resolve())
        for descriptor in Path(f"/proc/{pid}/fd").iterdir()
    )


# --- ending ---


async def test_sigterm_lets_requests_of_all_workers_finish(tmp_path: Path) -> None:
    arrived = asyncio.Semaphore(0)
    release = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.release()
        await release.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
        writer.close()

    backend = await asyncio.start_server(slow, "127.0.0.1", 0)
    up = backend.sockets[0].getsockname()[1]
    route = "{match: {prefix: /}, route: {cluster: a}}"
    async with two_workers(tmp_path, route, clusters=static_cluster("a", up)) as proxy:
        requests = [asyncio.create_task(exchange(proxy.port)) for _ in range(12)]
        for _ in requests:
            await asyncio.wait_for(arrived.acquire(), 10)
        family = [*proxy.workers(), proxy.fork_server()]
        proxy.process.send_signal(signal.SIGTERM)
        await until(lambda: _refused(proxy.port))
        release.set()
        assert {body_of(answer) for answer in await asyncio.gather(*requests)} == {b"done"}
        assert await proxy.ended() == 0
        assert not any(is_running(pid) for pid in family)
    backend.close()


async def _refused(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_no_worker_outlives_the_parent(tmp_path: Path) -> None:
    async with two_workers(tmp_path) as proxy:
        workers = proxy.workers()
        proxy.process.kill()
        await proxy.process.wait()

        async def gone() -> bool:
            return not any(is_running(pid) for pid in workers)

        await until(gone)
