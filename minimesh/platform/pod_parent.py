"""The process that every pod process is forked from.

It is forked before the mesh starts any thread or event loop, loads the modules that pods need, and from then
on only forks, signals and waits, so that a pod process starts in milliseconds and shares most of its memory.
It is synchronous and single-threaded: a fork from it copies no lock in a bad state.

The channel is a stream socket carrying one JSON object a line. Requests:

    {"do": "start", "id": ID, "name": NAME, "entry": NAME | null, "argv": [...],
     "environment": {...}, "log": PATH}
    {"do": "signal", "id": ID, "signal": NUMBER}

`entry` names an entry point (a callable taking the argument list); null means that `argv` is executed.
Events:

    {"event": "started", "id": ID, "pid": PID}
    {"event": "exited", "id": ID, "code": EXIT CODE, or minus the signal's number}

What cannot even be forked is reported as started with process id 0, and exited.

When the other end of the channel closes, for whatever reason, every pod process is killed and the parent
exits; on Linux the kernel kills them as well should the parent itself be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from minimesh.forking import ForkingLoop, flush_output, leave

EntryPoint = Callable[[list[str]], int]

EXIT_CANNOT_EXECUTE = 127
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class PodParentHandle:
    """What the process that forked a pod parent keeps: its process id and this end of the channel."""

    pid: int
    channel: socket.socket


def fork_pod_parent(
    entry_points: Mapping[str, EntryPoint],
    *,
    preload: Callable[[], None],
    log_path: str,
    close_descriptors: Collection[int] = (),
) -> PodParentHandle:
    """Fork the pod parent; call it before any thread or event loop is started.

    `preload` imports what pods need, in the pod parent. `close_descriptors` are files of this process that
    must not stay open in it, such as a held lock. `log_path` receives what the parent itself has to say.
    """
    ours, theirs = socket.socketpair()
    flush_output()
    pid = os.fork()
    if pid:
        theirs.close()
        return PodParentHandle(pid, ours)
    code = 1
    try:
        ours.close()
        for descriptor in close_descriptors:
            os.close(descriptor)
        _become_service(log_path)
        preload()
        gc.collect()
        gc.freeze()
        PodParent(theirs, entry_points).run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        leave(code)


def _become_service(log_path: str) -> None:
    """Leave the terminal, so that Ctrl-C reaches only the process that knows how to end things well."""
    os.setsid()
    _name_process("pod-parent")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _redirect_output(log_path)


class PodParent:
    """The loop of the pod parent: requests in, forks, exits reported."""

    def __init__(self, channel: socket.socket, entry_points: Mapping[str, EntryPoint]) -> None:
        self._channel = channel
        self._entry_points = entry_points
        self._unread = b""
        self._ids: dict[int, str] = {}
        self._pids: dict[str, int] = {}
        self._loop = ForkingLoop(channel)

    def run(self) -> None:
        """Serve until the channel closes; then kill every pod process."""
        try:
            self._loop.serve(self._serve_requests, self._report_exit)
        finally:
            self._kill_all()

    def _serve_requests(self) -> bool:
        """Act on every whole line received; False when the channel has closed."""
        try:
            data = self._channel.recv(_READ_BYTES)
        except ConnectionError:
            return False
        if not data:
            return False
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._act(json.loads(line))
        return True

    def _act(self, request: dict[str, Any]) -> None:
        if request["do"] == "start":
            self._start(request)
            return
        pid = self._pids.get(request["id"])
        if pid is not None:
            _signal_group(pid, request["signal"])

    def _start(self, request: dict[str, Any]) -> None:
        parent_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes for this user, or no memory: later tries may succeed
            print(f"cannot start {request['id']}: {error.strerror}", file=sys.stderr)
            self._send({"event": "started", "id": request["id"], "pid": 0})
            self._send({"event": "exited", "id": request["id"], "code": EXIT_CANNOT_EXECUTE})
            return
        if pid == 0:
            self._become_pod_process(request, parent_pid)
        # Both sides set it, so that a signal sent at once finds the group whoever runs first.
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        self._ids[pid] = request["id"]
        self._pids[request["id"]] = pid
        self._send({"event": "started", "id": request["id"], "pid": pid})

    def _become_pod_process(self, request: dict[str, Any], parent_pid: int) -> NoReturn:
        code = EXIT_CANNOT_EXECUTE
        try:
            self._loop.leave_to_parent()
            with contextlib.suppress(OSError):
                os.setpgid(0, 0)
            die_with_parent(parent_pid)
            _redirect_output(request["log"])
            os.environ.clear()
            os.environ.update(request["environment"])
            _name_process(request["name"])
            code = _run(request["entry"], request["argv"], self._entry_points)
        except SystemExit as leaving:
            code = _exit_code(leaving)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except BaseException:
            traceback.print_exc()
        finally:
            leave(code)

    def _report_exit(self, pid: int, code: int) -> None:
        # What the process started itself (a shell's background job) ends with it.
        _signal_group(pid, signal.SIGKILL)
        process_id = self._ids.pop(pid, None)
        if process_id is not None:
            self._pids.pop(process_id, None)
            self._send({"event": "exited", "id": process_id, "code": code})

    def _send(self, event: Mapping[str, object]) -> None:
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(json.dumps(event).encode() + b"\n")

    def _kill_all(self) -> None:
        for pid in self._ids:
            _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _run(entry: str | None, argv: Sequence[str], entry_points: Mapping[str, EntryPoint]) -> int:
    """Run the entry point, or become the command; the command's absence is one line in its log."""
    if entry is not None:
        sys.argv = [entry, *argv]
        return entry_points[entry](list(argv))
    try:
        os.execvp(argv[0], list(argv))
    except OSError as error:
        print(f"cannot run {argv[0]}: {error.strerror}", file=sys.stderr)
    return EXIT_CANNOT_EXECUTE


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code
    print(leaving.code, file=sys.stderr)
    return 1


def _redirect_output(log_path: str) -> None:
    """Standard output and error to the end of a file, input from nowhere.

    Appending keeps every line whole when the log is cut down while the process writes.
    """
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for descriptor in (log, nothing):
        if descriptor > 2:
            os.close(descriptor)
    # New text layers: whatever the old ones were, lines are to appear as they are printed, as on a terminal.
    sys.stdout = open(1, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, errors="backslashreplace", closefd=False)  # noqa: SIM115


def die_with_parent(parent_pid: int) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the channel's end must do."""
    if sys.platform != "linux":
        return
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def _name_process(name: str) -> None:
    """Let `ps` and `top` show the name, where that is one system call."""
    if sys.platform == "linux":
        _prctl(_PR_SET_NAME, name.encode()[:15])


def _prctl(option: int, value: int | bytes) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
