"""A real PostgreSQL client through a gateway's port 5432 to a real server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.control_plane.meshes import INGRESS_GATEWAY, gateway_proxy
from tests.control_plane.real_envoy import free_port
from tests.traffic.engines import LOCALHOST, serve
from tests.traffic.servers import pod_at

pytestmark = pytest.mark.slow

_START_LIMIT_S = 120
DATABASE = """
apiVersion: v1
kind: Service
metadata: {name: postgres}
spec:
  selector: {app: postgres}
  ports: [{name: tcp-postgres, port: 5432}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: postgres}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 5432, name: tcp-postgres, protocol: TCP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: postgres}
spec:
  hosts: ["*"]
  gateways: [postgres]
  tcp:
  - match: [{port: 5432}]
    route: [{destination: {host: postgres, port: {number: 5432}}}]
"""


@dataclass(frozen=True)
class Database:
    port: int


def programs() -> Path:
    """The folder of Debian's server programs, or of whatever `postgres` is on the path."""
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    initdb = str(max(found)) if found else shutil.which("initdb")
    if initdb is None or shutil.which("psql") is None:
        pytest.skip("no PostgreSQL on this machine (Debian: apt-get install postgresql)")
    return Path(initdb).parent


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """A server of its own, in a folder of its own; it refuses to run as root."""
    folder = programs()
    root = os.getuid() == 0
    owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.getuid())
    user: Mapping[str, int] = {"user": owner.pw_uid, "group": owner.pw_gid} if root else {}
    with tempfile.TemporaryDirectory(prefix="minimesh-pg-") as home:
        os.chown(home, owner.pw_uid, owner.pw_gid)
        data = Path(home) / "data"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "mesh", "-A", "trust", "--no-sync"],
            check=True,
            cwd=home,
            stdout=subprocess.DEVNULL,
            timeout=_START_LIMIT_S,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
            **user,
        )
        port = free_port()
        server = subprocess.Popen(
            [
                *(folder / "postgres", "-D", data, "-p", str(port), "-h", LOCALHOST, "-k", home),
                *("-c", "fsync=off", "-c", "shared_buffers=1MB"),
            ],
            cwd=home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **user,
        )
        try:
            subprocess.run(
                [
                    "sh",
                    "-c",
                    f"until psql -h {home} -p {port} -U mesh postgres -c 'select 1'; do sleep 0.1; done",
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_START_LIMIT_S,
            )
            yield Database(port)
        finally:
            server.terminate()
            server.wait()


async def psql(port: int, *statements: str) -> str:
    """What the real client prints, through a port of this machine."""
    process = await asyncio.create_subprocess_exec(
        *("psql", "-h", LOCALHOST, "-p", str(port), "-U", "mesh", "-At", "postgres"),
        *(part for statement in statements for part in ("-c", statement)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return output.decode()


@contextlib.asynccontextmanager
async def gateway(engine: str, database: Database, folder: Path) -> AsyncIterator[int]:
    pod = pod_at(database.port, {"app": "postgres"}, 5432)
    async with serve(engine, gateway_proxy(), [INGRESS_GATEWAY, DATABASE, pod], folder) as served:
        yield served.ports[5432]


@pytest.mark.parametrize("engine", ["minimesh", "envoy"])
async def test_statements_and_a_big_answer_through_the_gateway(
    engine: str, database: Database, tmp_path: Path
) -> None:
    async with gateway(engine, database, tmp_path) as port:
        printed = await psql(
            port,
            f"create table {engine} (n int)",
            f"insert into {engine} select generate_series(1, 1000)",
            f"select sum(n) from {engine}",
            "select length(repeat('x', 3000000)), repeat('y', 3000000) is not null",
            "select md5(repeat('z', 1000000)) = md5(repeat('z', 1000000))",
        )
        big = await psql(port, "select repeat('x', 2000000)")
    assert printed.splitlines() == ["CREATE TABLE", "INSERT 0 1000", "500500", "3000000|t", "t"]
    assert len(big) == 2_000_001


async def test_several_clients_at_once(database: Database, tmp_path: Path) -> None:
    async with gateway("minimesh", database, tmp_path) as port:
        answers = await asyncio.gather(
            *(psql(port, f"select {number}, pg_sleep(0.1)") for number in range(5))
        )
    assert answers == [f"{number}|\n" for number in range(5)]
