"""The state folder: one mesh at a time, and nothing stale."""

import os
from pathlib import Path

import pytest

from minimesh.platform.state import MeshRunsError, Run, StateFolder

RUN = Run(pid=1, pod_parent_pid=2, ads_port=3, debug_port=4, ingress_port=8080, paths=("configs/gs",))


def test_a_folder_is_held_by_one_mesh(tmp_path: Path) -> None:
    holder, other = StateFolder(tmp_path), StateFolder(tmp_path)
    holder.acquire()
    holder.write_run(RUN)
    assert other.running() == RUN
    with pytest.raises(MeshRunsError) as refused:
        other.acquire()
    assert refused.value.pid == 1
    holder.release()
    assert other.running() is None
    other.acquire()
    other.release()


def test_what_a_killed_mesh_left_does_not_count(tmp_path: Path) -> None:
    dead = StateFolder(tmp_path)
    dead.acquire()
    dead.write_run(RUN)
    dead.write_pods([{"name": "web"}])
    assert dead.lock_descriptor is not None
    os.close(dead.lock_descriptor)  # as the kernel does when the process is killed

    state = StateFolder(tmp_path)
    assert state.running() is None
    state.acquire()
    assert state.read_pods() == []
    state.release()


def test_a_mesh_that_is_still_starting_holds_the_folder_without_a_run(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    state.acquire()
    assert state.is_held()
    assert StateFolder(tmp_path).running() is None
    state.release()


def test_the_folder_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMESH_STATE", str(tmp_path / "here"))
    assert StateFolder.default().path == tmp_path / "here"
    monkeypatch.delenv("MINIMESH_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert StateFolder.default().path == tmp_path / "minimesh"


def test_what_may_hold_secrets_is_for_its_user_alone(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.acquire()
    state.write_pods([])
    assert (state.path / "pods.json").stat().st_mode & 0o077 == 0
    log = state.log_path("default", "web", "app")
    for folder in (state.path, *list(log.parents)[:3]):
        assert folder.stat().st_mode & 0o077 == 0
    state.release()
