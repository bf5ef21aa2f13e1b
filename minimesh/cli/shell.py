"""`minimesh shell`: a shell in which published labs can be pasted as they stand."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

import minimesh
from minimesh.cli.kubectl import cluster_environment, find_kubectl
from minimesh.platform.state import StateFolder

_ISTIOCTL = "from minimesh.cli.istioctl import istioctl; istioctl(prog_name='istioctl')"
_MINIKUBE = "from minimesh.cli.minikube import minikube; minikube(prog_name='minikube')"


@click.command()
def shell() -> None:
    """Open a shell in which kubectl and istioctl are on PATH and talk to the mesh that runs."""
    environment = cluster_environment()
    folder = _write_programs(StateFolder.default().programs, find_kubectl())
    environment["PATH"] = os.pathsep.join([str(folder), environment.get("PATH", os.defpath)])
    program = environment.get("SHELL") or "/bin/sh"
    click.echo("minimesh: kubectl and istioctl talk to the mesh in this shell; `exit` leaves it")
    os.execve(program, [program], environment)


def _write_programs(folder: Path, kubectl: str) -> Path:
    """Small scripts, so that what is typed is found whatever else is installed."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    scripts = {
        "kubectl": f'exec {shlex.quote(kubectl)} "$@"',
        "istioctl": _python(_ISTIOCTL),
        "minikube": _python(_MINIKUBE),
    }
    for name, line in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        path.chmod(0o700)
    return folder


def _python(program: str) -> str:
    """The line that runs our own code, called what was typed, wherever that is.

    Modules in the folder where the user stands (`-P`) must not take the place of ours or of Python's.
    """
    packages = str(Path(minimesh.__file__).parents[1])
    code = f"import sys; sys.path.append({packages!r}); {program}"
    return f'exec {shlex.quote(sys.executable)} -P -c {shlex.quote(code)} "$@"'
