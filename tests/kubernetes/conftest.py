"""A real API server over a store with the default namespaces, and the real kubectl that talks to it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from minimesh.config.decoding import decode
from minimesh.config.store import Store
from minimesh.kubernetes.access import write_kubeconfig
from minimesh.kubernetes.ages import timestamp
from minimesh.kubernetes.api_server import ApiServer
from minimesh.kubernetes.initial_objects import initial_objects
from tests.kubernetes.local_commands import LocalCommands
from tests.kubernetes.log_files import LogFiles

KUBECTL = Path(sys.executable).parent / "kubectl"
ISTIO_SYSTEM = "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    out: str
    err: str
    code: int


class Kubectl:
    """The real kubectl, with a kubeconfig and a home folder of its own."""

    def __init__(self, folder: Path, server: ApiServer, store: Store, logs: LogFiles) -> None:
        self.folder = folder
        self.server = server
        self.store = store
        self.logs = logs
        self.kubeconfig = folder / "kubeconfig"
        write_kubeconfig(self.kubeconfig, server.url)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command whose output is read while it runs."""
        return await asyncio.create_subprocess_exec(
            str(KUBECTL),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder), "NO_PROXY": "*"},
        )

    async def says(self, *arguments: str, stdin: str = "") -> Said:
        """Run a command to its end."""
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


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    store = Store()
    for resource in (*initial_objects(timestamp(datetime.now(UTC))), *decode(ISTIO_SYSTEM, "").resources):
        store.put(resource)
    logs = LogFiles()
    server = ApiServer(store, logs, LocalCommands())
    await server.start("127.0.0.1", 0)
    try:
        yield Kubectl(tmp_path, server, store, logs)
    finally:
        await server.stop()
