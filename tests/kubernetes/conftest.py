"""A real API server over a store with the default namespaces, and the real kubectl that talks to it."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.config.timestamps import timestamp
from minimesh.kubernetes.access import write_kubeconfig
from minimesh.kubernetes.api_server import ApiServer
from minimesh.kubernetes.initial_objects import initial_objects
from tests.kubernetes.local_commands import LocalCommands
from tests.kubernetes.local_ports import LocalPorts
from tests.kubernetes.log_files import LogFiles

KUBECTL = Path(sys.executable).parent / "kubectl"
OLD_KUBECTL = "OLD_KUBECTL"
"""The variable that names a kubectl of 2021; without it the first one of PATH that is as old is taken."""
ISTIO_SYSTEM = "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int


class Kubectl:
    """The real kubectl, with a kubeconfig and a home folder of its own."""

    def __init__(self, program: Path, folder: Path, server: ApiServer, store: Store, logs: LogFiles) -> None:
        self.program = program
        self.folder = folder
        self.server = server
        self.store = store
        self.logs = logs
        self.kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self.kubeconfig, server.url)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command whose output is read while it runs."""
        return await asyncio.create_subprocess_exec(
            str(self.program),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "NO_PROXY": "*"},
        )

    async def says(self, *arguments: str, stdin: str = "") -> Said:
        """Run a command to its end."""
        if stdin.startswith("{") and self.program != KUBECTL:
            # What begins with a brace has to be JSON for it.
            stdin = json.dumps(yaml.safe_load(stdin))
        process = await self.start(*arguments)
        async with asyncio.timeout(30):
            out, err = await process.communicate(stdin.encode())
        return Said(out.decode(), err.decode(), process.returncode or 0)

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed; returns what it printed."""
        said = await self.says(*arguments, stdin=stdin)
        assert said.code == 0, said
        return said.out

    async def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must fail; returns its complaint."""
        said = await self.says(*arguments, stdin=stdin)
        assert said.code != 0, said
        return said.err.strip()

    async def apply(self, text: str, *options: str) -> str:
        return await self("apply", *options, "-f", "-", stdin=text)


@pytest.fixture(params=["current", pytest.param("1.20", marks=pytest.mark.slow)])
def kubectl_program(request: pytest.FixtureRequest) -> Path:
    """The kubectl of today, and Debian 12's, which knows no server-side validation and other formats."""
    if request.param == "current":
        return KUBECTL
    for_today = request.node.get_closest_marker("kubectl_of_today")
    if for_today is not None:
        pytest.skip(f"not with kubectl 1.20: {for_today.args[0]}")
    found = _old_kubectl()
    if found is None:
        pytest.skip(f"no kubectl before 1.24 is on PATH; {OLD_KUBECTL} may name one")
    return found


@functools.cache
def _old_kubectl() -> Path | None:
    named = os.environ.get(OLD_KUBECTL)
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    candidates = [Path(named)] if named else [Path(folder) / "kubectl" for folder in folders]
    return next((each for each in candidates if each.is_file() and _minor_version(each) < 24), None)


def _minor_version(program: Path) -> int:
    """The 20 of 1.20; a great number where the program does not say."""
    said = subprocess.run([program, "version", "--client", "-o", "json"], capture_output=True, check=False)
    try:
        return int(json.loads(said.stdout)["clientVersion"]["minor"].rstrip("+"))
    except (KeyError, ValueError):
        return 1000


@pytest.fixture
def ports() -> LocalPorts:
    """Where the ports of pods are."""
    return LocalPorts()


@pytest.fixture
async def kubectl(tmp_path: Path, kubectl_program: Path, ports: LocalPorts) -> AsyncIterator[Kubectl]:
    store = Store()
    for resource in (*initial_objects(timestamp(datetime.now(UTC))), *decode(ISTIO_SYSTEM, "").resources):
        store.put(resource)
    logs = LogFiles()
    server = ApiServer(store, logs, LocalCommands(), ports=ports)
    await server.start("127.0.0.1", 0)
    try:
        yield Kubectl(kubectl_program, tmp_path, server, store, logs)
    finally:
        await server.stop()
