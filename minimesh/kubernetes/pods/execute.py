"""`kubectl exec`: a program whose streams are the client's channels (`channels`)."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import struct
import termios
from typing import Any

from aiohttp import web

from minimesh.kubernetes.api_errors import bad_request
from minimesh.kubernetes.objects import Object
from minimesh.kubernetes.pods.channels import Channel, Channels, open_channels
from minimesh.kubernetes.pods.container_commands import (
    CommandNotFoundError,
    ContainerCommand,
    ContainerCommands,
)
from minimesh.kubernetes.pods.logs import chosen_container

NOT_FOUND = 127
_BLOCK_BYTES = 32 * 1024


async def serve_exec(request: web.Request, pod: Object, commands: ContainerCommands) -> web.StreamResponse:
    """Run the command that the query string asks for. ApiError (400) before the upgrade when it cannot be."""
    container = chosen_container(pod, request.query.get("container", ""))
    arguments = request.query.getall("command", [])
    if not arguments:
        raise bad_request("you must specify at least 1 command for the container")
    channels = await open_channels(request)
    metadata = pod["metadata"]
    has_terminal = request.query.get("tty") in ("true", "1")
    try:
        command = commands.command(metadata["namespace"], metadata["name"], container, arguments)
    except CommandNotFoundError as error:
        said = Channel.STDOUT if has_terminal else Channel.STDERR
        await channels.send(said, f"minimesh: {error}\r\n".encode())
        code = NOT_FOUND
    else:
        session = _Terminal if has_terminal else _Pipes
        code = await session(command, channels).run()
    await channels.send(Channel.ERROR, json.dumps(ended(code)).encode())
    await channels.close()
    return channels.response


def ended(code: int) -> dict[str, Any]:
    """The `Status` of a program that ended; a signal counts as shells count it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    shown = 128 - code if code < 0 else code
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {shown}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(shown)}]},
    }


class _Session:
    """One program and its client: from `run` to its end."""

    def __init__(self, command: ContainerCommand, channels: Channels) -> None:
        self.command = command
        self.channels = channels

    async def run(self) -> int:
        """Run the program; returns its exit status, negative for a signal. It ends when the client goes."""
        process = await self.start()
        output = asyncio.create_task(self.outputs(process))
        received = asyncio.create_task(self._receive())
        try:
            await asyncio.wait([output, received], return_when=asyncio.FIRST_COMPLETED)
            if not output.done():
                _hang_up(process)
            await output
            return await process.wait()
        finally:
            received.cancel()
            output.cancel()
            _hang_up(process)
            self.close()

    async def _receive(self) -> None:
        async for channel, data in self.channels.received():
            if channel is Channel.STDIN:
                if data is None:
                    self.end_input()
                else:
                    await self.input(data)
            elif channel is Channel.RESIZE and data:
                self.resize(json.loads(data))

    async def start(self) -> asyncio.subprocess.Process:
        raise NotImplementedError

    async def outputs(self, process: asyncio.subprocess.Process) -> None:
        """Pass on what the program writes, until it writes no more."""
        raise NotImplementedError

    async def input(self, data: bytes) -> None:
        raise NotImplementedError

    def end_input(self) -> None:
        """No more input comes."""

    def resize(self, size: dict[str, int]) -> None:
        """The client's terminal has a new size."""

    def close(self) -> None:
        """Give back what the session holds."""


def _hang_up(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


class _Pipes(_Session):
    """A program without a terminal: three pipes."""

    async def start(self) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self.command.arguments,
            env=dict(self.command.environment),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        return self._process

    async def outputs(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(
            self._copy(process.stdout, Channel.STDOUT), self._copy(process.stderr, Channel.STDERR)
        )

    async def _copy(self, reader: asyncio.StreamReader, channel: Channel) -> None:
        while data := await reader.read(_BLOCK_BYTES):
            await self.channels.send(channel, data)

    async def input(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()


class _Terminal(_Session):
    """A program with a terminal of its own, whose other end is here."""

    async def start(self) -> asyncio.subprocess.Process:
        self._ours, theirs = os.openpty()
        os.set_blocking(self._ours, False)
        try:
            return await asyncio.create_subprocess_exec(
                *self.command.arguments,
                env={"TERM": "xterm", **self.command.environment},
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                # The session's terminal, so that Ctrl-C reaches the program as a signal.
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        finally:
            os.close(theirs)

    async def outputs(self, process: asyncio.subprocess.Process) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._ours, readable.set)
        try:
            while True:
                await readable.wait()
                readable.clear()
                data = _read(self._ours)
                if data is None:
                    continue
                if not data:
                    return
                await self.channels.send(Channel.STDOUT, data)
        finally:
            loop.remove_reader(self._ours)

    async def input(self, data: bytes) -> None:
        # What people type fits the terminal's buffer; what does not is lost, as on a terminal nobody reads.
        with contextlib.suppress(OSError):
            os.write(self._ours, data)

    def end_input(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._ours, b"\x04")

    def resize(self, size: dict[str, int]) -> None:
        packed = struct.pack("HHHH", size.get("Height", 24), size.get("Width", 80), 0, 0)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._ours, termios.TIOCSWINSZ, packed)

    def close(self) -> None:
        os.close(self._ours)


def _read(descriptor: int) -> bytes | None:
    """What a terminal has: None for nothing yet, empty at its end, which Linux tells as an error."""
    try:
        return os.read(descriptor, _BLOCK_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
