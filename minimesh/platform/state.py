"""The state folder: which mesh runs, its pods, their logs. One folder, at most one mesh.

A lock on `lock` tells whether a mesh runs: the kernel drops it with the process, however that ends, so what
is written in `run.json` counts only while the lock is held.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RUN_FILE = "run.json"
PODS_FILE = "pods.json"
KUBECONFIG_FILE = "kubeconfig"


class MeshRunsError(Exception):
    """Another mesh holds the state folder. `pid` is its process, if that is known."""

    def __init__(self, pid: int | None) -> None:
        super().__init__("a mesh is running already")
        self.pid = pid


@dataclass(frozen=True, slots=True)
class Run:
    """A running mesh: the process to signal, and where it answers."""

    pid: int
    pod_parent_pid: int
    ads_port: int
    debug_port: int
    ingress_port: int
    paths: tuple[str, ...]
    dashboard_url: str = ""
    """The page's address; to know it is what gives access."""
    debug_secret: str = ""
    """To know it is to be told what Secrets hold."""


class StateFolder:
    """The files of one mesh, below MINIMESH_STATE or the XDG state folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @classmethod
    def default(cls) -> StateFolder:
        given = os.environ.get("MINIMESH_STATE")
        if given:
            return cls(Path(given))
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        return cls(Path(state) / "minimesh")

    @property
    def kubeconfig(self) -> Path:
        """What kubectl needs to talk to the mesh that runs; there while one does."""
        return self.path / KUBECONFIG_FILE

    @property
    def programs(self) -> Path:
        """The folder of the programs that `minimesh shell` has on PATH."""
        return self.path / "bin"

    @property
    def lock_descriptor(self) -> int | None:
        """The open file that holds the lock, to be closed in every fork."""
        return self._lock

    def acquire(self) -> None:
        """Take the folder for this process and remove what an earlier mesh left. MeshRunsError when taken."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            run = self._read_run()
            raise MeshRunsError(run.pid if run else None) from None
        self._lock = descriptor
        self._clear()

    def release(self) -> None:
        """Give the folder up; the logs stay for reading."""
        for name in (RUN_FILE, PODS_FILE, KUBECONFIG_FILE):
            (self.path / name).unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def running(self) -> Run | None:
        """The mesh that holds the folder now, or None. A mesh that is still starting has no Run yet."""
        return self._read_run() if self.is_held() else None

    def is_held(self) -> bool:
        """Whether some process holds the folder."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def write_run(self, run: Run) -> None:
        self._write(RUN_FILE, asdict(run))

    def write_pods(self, pods: list[dict[str, Any]]) -> None:
        self._write(PODS_FILE, pods)

    def read_pods(self) -> list[dict[str, Any]]:
        """The pods as last written; empty when there is no mesh."""
        with contextlib.suppress(OSError, ValueError):
            pods: list[dict[str, Any]] = json.loads((self.path / PODS_FILE).read_text())
            return pods
        return []

    @property
    def control_plane_log(self) -> Path:
        """What the control plane, which is the mesh's own process, has to say."""
        return self.log_path("minimesh", "up", "istiod")

    def log_path(self, namespace: str, pod: str, container: str) -> Path:
        """The log file of a container; its folder is made."""
        return self._pod_folder(namespace, pod) / f"{container}.log"

    def write_curl_home(self, namespace: str, pod: str, rules: str) -> str:
        """Write a pod's `.curlrc`; returns the folder that it is in."""
        folder = self._pod_folder(namespace, pod)
        (folder / ".curlrc").write_text(rules)
        return str(folder)

    def _pod_folder(self, namespace: str, pod: str) -> Path:
        folder = self.path / "logs"
        for part in ("", namespace, pod):
            folder /= part
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _clear(self) -> None:
        shutil.rmtree(self.path / "logs", ignore_errors=True)
        for name in (RUN_FILE, PODS_FILE, KUBECONFIG_FILE):
            (self.path / name).unlink(missing_ok=True)

    def _read_run(self) -> Run | None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            fields = json.loads((self.path / RUN_FILE).read_text())
            return Run(**{**fields, "paths": tuple(fields["paths"])})
        return None

    def _write(self, name: str, content: object) -> None:
        """Replace the file at once: a reader sees the old or the new, never half. It may hold secrets."""
        temporary = self.path / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        temporary.replace(self.path / name)
