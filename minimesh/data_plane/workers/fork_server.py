"""The process that forks workers: made before the parent starts an event loop, so that there is nothing in
it that does not bear forking (threads, a running loop, server sockets).

The parent sends a number (four bytes) with three descriptors, and a worker of that number is forked, which
gets them. Lines of JSON come back:

    {"event": "started", "worker": 0, "pid": PID}
    {"event": "exited", "worker": 0, "pid": PID, "code": EXIT CODE, or minus the signal's number}

When the parent's end closes, the fork server ends; each worker sees the same on its own channel.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from minimesh.forking import ForkingLoop, flush_output, leave

NUMBER = struct.Struct("!I")
#: Channel, and the socket on which server sockets are asked for.
DESCRIPTORS = 2

#: What a worker does: its number and its two sockets; returns the exit status.
WorkerMain = Callable[[int, socket.socket, socket.socket], int]


@dataclass(frozen=True, slots=True)
class ForkServerHandle:
    """What the parent keeps: the process id, and its end of the socket."""

    pid: int
    parent: socket.socket


def start_fork_server(run: WorkerMain) -> ForkServerHandle:
    """Fork it. Call it before any thread or event loop is started."""
    ours, theirs = socket.socketpair()
    flush_output()
    pid = os.fork()
    if pid:
        theirs.close()
        return ForkServerHandle(pid, ours)
    code = 1
    try:
        ours.close()
        _ignore_signals()
        gc.collect()
        gc.freeze()
        _ForkServer(theirs, run).serve()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def ask_for_worker(fork_server: socket.socket, number: int) -> tuple[socket.socket, socket.socket]:
    """Have a worker forked; returns the parent's ends of its channel and of its socket for questions.

    Raises OSError when the fork server is gone or there are no more descriptors.
    """
    pairs = [socket.socketpair() for _ in range(DESCRIPTORS)]
    try:
        socket.send_fds(fork_server, [NUMBER.pack(number)], [theirs.fileno() for _, theirs in pairs])
    except OSError:
        for ours, _ in pairs:
            ours.close()
        raise
    finally:
        for _, theirs in pairs:
            theirs.close()
    return pairs[0][0], pairs[1][0]


class _ForkServer:
    def __init__(self, parent: socket.socket, run: WorkerMain) -> None:
        self._parent = parent
        self._run = run
        self._workers: dict[int, int] = {}
        self._loop = ForkingLoop(parent)

    def serve(self) -> None:
        """Fork on request until the parent is gone."""
        self._loop.serve(self._fork_one, self._report_exit)

    def _fork_one(self) -> bool:
        """Serve one request; False when the parent is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._parent, NUMBER.size, DESCRIPTORS)
        except ConnectionError:
            return False
        if not data:
            return False
        (number,) = NUMBER.unpack(data)
        try:
            pid = os.fork()
        except OSError as error:  # no more processes for this user, or no memory: later tries may succeed
            print(f"cannot fork worker {number}: {error.strerror}", file=sys.stderr)
            self._send({"event": "exited", "worker": number, "pid": 0, "code": 1})
        else:
            if pid == 0:
                self._become_worker(number, descriptors)
            self._workers[pid] = number
            self._send({"event": "started", "worker": number, "pid": pid})
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _become_worker(self, number: int, descriptors: list[int]) -> NoReturn:
        code = 1
        try:
            self._loop.leave_to_parent()
            channel, questions = (socket.socket(fileno=descriptor) for descriptor in descriptors)
            code = self._run(number, channel, questions)
        except BaseException:
            traceback.print_exc()
        finally:
            leave(code)

    def _report_exit(self, pid: int, code: int) -> None:
        worker = self._workers.pop(pid, None)
        if worker is not None:
            self._send({"event": "exited", "worker": worker, "pid": pid, "code": code})

    def _send(self, event: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):
            self._parent.sendall(json.dumps(event).encode() + b"\n")


def _ignore_signals() -> None:
    """A terminal and `kill` on a group signal every process of it: only the parent is to act on that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
