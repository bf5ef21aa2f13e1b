"""What `minimesh up` says while it runs: progress, what to try, findings about saved files, access logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from minimesh.cli.invocation import invocation
from minimesh.cli.pods import PROXY_CONTAINER
from minimesh.config.diagnostics import Diagnostic, Severity, render
from minimesh.config.store import Snapshot
from minimesh.dashboard.requests_to_try import requests_to_try
from minimesh.platform.logs import LogFollower

_CRASHES = "CrashLoopBackOff"
_TROUBLE = frozenset({_CRASHES, "ErrImagePull"})


def say(text: str) -> None:
    """One progress line."""
    click.echo(f"minimesh: {text}")


class DiagnosticsConsole:
    """Shows findings when they appear, and says when a file is fine again."""

    def __init__(self) -> None:
        self._shown: dict[str, frozenset[Diagnostic]] = {}

    def show(self, by_file: Mapping[str, Sequence[Diagnostic]]) -> None:
        """All findings there are now, by file; only news is shown."""
        current = {file: frozenset(found) for file, found in by_file.items() if found}
        for file, found in by_file.items():
            before = self._shown.get(file, frozenset())
            news = [each for each in found if each not in before]
            if news:
                click.echo(render(news, _text_of(file)))
            if _errors(news):
                say(f"{file} is not applied; its last good configuration stays in force")
            elif _errors(before) and not _errors(found):
                say(f"{file} is applied again")
        for file in self._shown.keys() - by_file.keys():
            if _errors(self._shown[file]):
                say(f"{file} is gone")
        self._shown = current


class PodConsole:
    """Tells when a pod cannot run, once, and when it runs after all."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def show(self, pods: Sequence[Mapping[str, Any]]) -> None:
        """All pods there are now; only news is shown."""
        names = {pod["name"] for pod in pods}
        self._told = {name: state for name, state in self._told.items() if name in names}
        for pod in pods:
            name, state = pod["name"], pod["state"]
            if state in _TROUBLE and self._told.get(name) != state:
                self._told[name] = state
                where = f"-n {pod['namespace']} {name}"
                remedy = f"; its log: {invocation(f'logs {where}')}" if state == _CRASHES else ""
                say(f"pod {name}: {state}: {pod['message']}{remedy}")
            elif pod["ready"] and self._told.pop(name, None):
                say(f"pod {name} is ready")


class AccessLogConsole:
    """Gives the lines that the pods' proxies write, each after its workload's name."""

    def __init__(self) -> None:
        self._followers: dict[str, tuple[str, LogFollower]] = {}

    def follow(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Follow the proxies of these pods, and no longer those of others."""
        wanted = {}
        for pod in pods:
            for container in pod["containers"]:
                if container["name"] == PROXY_CONTAINER and container["log"]:
                    wanted[container["log"]] = pod["workload"]
        for path, workload in wanted.items():
            self._followers.setdefault(path, (workload, LogFollower(Path(path))))
        for path in self._followers.keys() - wanted.keys():
            del self._followers[path]

    def show(self) -> None:
        """Print what came since the last time."""
        lines = [
            f"{workload} | {line}"
            for workload, follower in self._followers.values()
            for line in follower.lines()
        ]
        if lines:
            click.echo("\n".join(lines))


def lines_to_try(snapshot: Snapshot, ingress_port: int) -> list[str]:
    """curl lines for the hosts and paths that VirtualServices lead from a gateway, each once."""
    return [
        # The lab's own spelling: no quotes needed, easy to retype.
        f"curl {'' if host == '*' else f'-H Host:{host} '}localhost:{ingress_port}{path}"
        for host, path in requests_to_try(snapshot)
    ]


def _errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(each.severity is Severity.ERROR for each in diagnostics)


def _text_of(file: str) -> dict[str, str]:
    try:
        return {file: Path(file).read_text(encoding="utf-8", errors="replace")}
    except OSError:
        return {}
