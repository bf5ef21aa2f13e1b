"""What `kubectl exec` needs of the platform that runs the containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """A program to start as if in a container: an absolute path first, then its arguments."""

    arguments: Sequence[str]
    environment: Mapping[str, str]


class CommandNotFoundError(Exception):
    """There is no such program where the container runs; the text says so to the user."""


class ContainerCommands(Protocol):
    """How to start a program in a container."""

    def command(self, namespace: str, pod: str, container: str, arguments: Sequence[str]) -> ContainerCommand:
        """What to start. CommandNotFoundError when there is no such program."""


class NoCommands:
    """For a control plane that runs no pods itself."""

    def command(self, namespace: str, pod: str, container: str, arguments: Sequence[str]) -> ContainerCommand:
        raise CommandNotFoundError("this control plane runs no pods itself")
