"""What processes have in common that are made to fork others: single-threaded, without an event loop.

One that serves waits for requests on one socket and for its children to end, on one poll.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_READ_BYTES = 4096


class ForkingLoop:
    """Takes requests from a socket, and tells of children that have ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._wake_reader, self._wake_writer = socket.socketpair()

    def serve(self, take_request: Callable[[], bool], on_exit: Callable[[int, int], None]) -> None:
        """Serve until `take_request` says False: the other end is gone.

        `on_exit` gets the process id of a child and its exit code, or minus the signal's number.
        """
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        signal.signal(signal.SIGCHLD, _note_signal)
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_reader.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._wake_reader.recv(_READ_BYTES)
                _report_exits(on_exit)
            if self._requests.fileno() in ready and not take_request():
                return

    def leave_to_parent(self) -> None:
        """In a child: its own signals and sockets again."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for inherited in (self._requests, self._wake_reader, self._wake_writer):
            inherited.close()


def flush_output() -> None:
    """Write what is held for standard output and error: before a fork, lest both processes write it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()


def leave(code: int) -> NoReturn:
    """End this process without unwinding into the frames it was forked from, but with its output written."""
    try:
        atexit._run_exitfuncs()
        flush_output()
    finally:
        os._exit(code)


def _report_exits(on_exit: Callable[[int, int], None]) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        on_exit(pid, os.waitstatus_to_exitcode(status))


def _note_signal(number: int, frame: FrameType | None) -> None:
    """Nothing to do: the wake-up descriptor has been written."""
