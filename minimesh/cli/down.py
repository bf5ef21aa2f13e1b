"""`minimesh down`: ends the mesh of the state folder, whoever started it."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import click

from minimesh.cli.refusal import Refusal
from minimesh.config.persistence import forget_all
from minimesh.platform.state import Run, StateFolder

ORDERLY_END_LIMIT_S = 15.0
FORCED_END_LIMIT_S = 5.0
EXIT_LIMIT_S = 0.3
_LOOK_INTERVAL_S = 0.02


@click.command()
@click.option("--purge", is_flag=True, help="Also forget all that was stored through the API.")
def down(purge: bool) -> None:
    """Stop the mesh that runs: every process that it started ends."""
    state = StateFolder.default()
    if state.is_held():
        _stop(state)
    else:
        click.echo("No mesh runs.")
    if purge:
        found = forget_all(state.path)
        click.echo("What was stored is forgotten." if found else "There is nothing stored to forget.")


def _stop(state: StateFolder) -> None:
    run = _wait_for_run(state)
    _signal(run.pid, signal.SIGTERM)
    if not _ends(state, run.pid, ORDERLY_END_LIMIT_S):
        # The pod parent ends all pods when its mesh is gone.
        _signal(run.pid, signal.SIGKILL)
        if not _ends(state, run.pid, FORCED_END_LIMIT_S):
            raise Refusal(f"process {run.pid} does not end", f"Look at it: ps -fp {run.pid}")
    click.echo("The mesh has stopped.")


def _wait_for_run(state: StateFolder) -> Run:
    """The running mesh; one that is just starting is given a moment to say who it is."""
    deadline = time.monotonic() + FORCED_END_LIMIT_S
    while time.monotonic() < deadline:
        run = state.running()
        if run is not None:
            return run
        time.sleep(_LOOK_INTERVAL_S)
    raise Refusal(
        f"a mesh holds {state.path} but does not say which process it is",
        "Stop that process by hand: ps -ef | grep minimesh",
    )


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ends(state: StateFolder, pid: int, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if not state.is_held():
            _wait_for_exit(pid)
            return True
        time.sleep(_LOOK_INTERVAL_S)
    return False


def _wait_for_exit(pid: int) -> None:
    """The folder is given up just before the process ends; whoever started it may never ask how."""
    deadline = time.monotonic() + EXIT_LIMIT_S
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(_LOOK_INTERVAL_S)
