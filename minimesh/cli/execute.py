"""`minimesh exec`: a command with a pod's environment.

A pod here is a set of processes with addresses of their own, not a container with a file system: the command
is this machine's, and what makes it run "in the pod" is its environment, above all `http_proxy`, which leads
its calls through the pod's sidecar.
"""

from __future__ import annotations

import os
import shutil

import click

from minimesh.cli.invocation import invocation
from minimesh.cli.pods import find_container, find_pod, running_pods
from minimesh.cli.refusal import Refusal

EXIT_NOT_FOUND = 127
# The terminal is the caller's, not the pod's.
_TERMINAL_VARIABLES = ("TERM", "COLUMNS", "LINES", "COLORTERM")


@click.command(
    name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@click.option("-n", "--namespace", default="default", help="The pod's namespace.")
@click.option("-c", "--container", help="Whose environment; the application's by default.")
@click.option("-i", "--stdin", is_flag=True, help="Accepted as kubectl has it; input is always passed on.")
@click.option("-t", "--tty", is_flag=True, help="Accepted as kubectl has it; the terminal is always yours.")
@click.argument("target", metavar="POD|deploy/NAME")
@click.argument("arguments", metavar="-- COMMAND [ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(
    namespace: str,
    container: str | None,
    stdin: bool,
    tty: bool,
    target: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a command in a pod's environment, such as: minimesh exec deploy/sleep -- curl httpbin:8000/ip"""
    namespace, container, words = _options_after_target(namespace, container, list(arguments))
    if not words:
        raise Refusal("no command is given", f"Write: {invocation(f'exec {target} -- COMMAND')}")
    pod = find_pod(running_pods(), target, namespace)
    found = find_container(pod, container)
    environment = dict(pod["environment"][found["name"]])
    environment |= {name: os.environ[name] for name in _TERMINAL_VARIABLES if name in os.environ}
    program = shutil.which(words[0], path=environment.get("PATH"))
    if program is None:
        click.echo(
            f"minimesh: {words[0]!r} is not installed on this machine, where pods run. Install it first.",
            err=True,
        )
        raise SystemExit(EXIT_NOT_FOUND)
    os.execve(program, words, environment)


def _options_after_target(
    namespace: str, container: str | None, words: list[str]
) -> tuple[str, str | None, list[str]]:
    """kubectl takes `-n`, `-c`, `-it` after the pod's name too, up to `--`."""
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        if word in ("-i", "-t", "-it", "-ti", "--stdin", "--tty"):
            continue
        if word in ("-n", "--namespace") and words:
            namespace = words.pop(0)
        elif word in ("-c", "--container") and words:
            container = words.pop(0)
        else:
            raise Refusal(f"unknown option {word!r}", "Put -- before the command.")
    return namespace, container, words
