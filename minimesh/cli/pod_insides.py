"""What `kubectl exec` starts in a pod of this mesh.

A pod here is a set of processes with addresses of their own, not a container with a file system: the program
is this machine's, and what makes it run "in the pod" is its environment, above all `http_proxy`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence

from minimesh.kubernetes.container_commands import CommandNotFoundError, ContainerCommand
from minimesh.platform.pod import Pod


class PodCommands:
    """Programs with the environments of the pods that `pods` gives."""

    def __init__(self, pods: Callable[[], Sequence[Pod]]) -> None:
        self._pods = pods

    def command(self, namespace: str, pod: str, container: str, arguments: Sequence[str]) -> ContainerCommand:
        """The program, found on the container's PATH. CommandNotFoundError when it is not installed."""
        running = next((each for each in self._pods() if each.key == (namespace, pod)), None)
        if running is None:
            raise CommandNotFoundError(f"pod {pod} does not run")
        environment = _environment(running.environment, container)
        program = shutil.which(arguments[0], path=environment.get("PATH", os.defpath))
        if program is None:
            raise CommandNotFoundError(
                f"{arguments[0]!r} is not installed on this machine, where pods run. Install it first."
            )
        return ContainerCommand((program, *arguments[1:]), environment)


def _environment(declared: Mapping[str, Mapping[str, str]], container: str) -> dict[str, str]:
    """The container's; for the proxy, which declares none, an application's without the way to the proxy."""
    if container in declared:
        return dict(declared[container])
    for environment in declared.values():
        return {key: value for key, value in environment.items() if key != "http_proxy"}
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
