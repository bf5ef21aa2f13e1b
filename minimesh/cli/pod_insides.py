"""What `kubectl exec` and `port-forward` find inside a pod of this mesh.

A pod here is a set of processes with addresses of their own, not a container with a file system: a program is
this machine's, and what makes it run "in the pod" is its environment, above all `http_proxy`. `localhost` is
the pod's own where curl is told so (`environment.CURL_HOME`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

from minimesh.config.injection import PROXY_CONTAINER
from minimesh.kubernetes.pods.container_commands import CommandNotFoundError, ContainerCommand
from minimesh.platform.logs import LogSpan
from minimesh.platform.runtime import PodRuntime

PILOT_AGENT = "pilot-agent"
"""A program of the proxy's image, which stands for one of ours."""
_STAND_INS = {"fortio": "demo_apps.fortio"}
"""Programs of images that a demo application plays, for who has not installed them."""


class PodInsides:
    """Programs and ports of the pods that the runtime has, once there is one."""

    def __init__(self, runtime: Callable[[], PodRuntime | None]) -> None:
        self._runtime = runtime

    def command(self, namespace: str, pod: str, container: str, arguments: Sequence[str]) -> ContainerCommand:
        """The program, found on the container's PATH. CommandNotFoundError when it is not installed."""
        runtime = self._runtime()
        pods = runtime.pods if runtime is not None else ()
        running = next((each for each in pods if each.key == (namespace, pod)), None)
        if running is None:
            raise CommandNotFoundError(f"pod {pod} does not run")
        environment = _environment(running.environment, container)
        name = arguments[0].rpartition("/")[2]
        if container == PROXY_CONTAINER and name == PILOT_AGENT:
            own = (sys.executable, "-m", "minimesh.cli.pilot_agent")
            return ContainerCommand((*own, *arguments[1:]), environment)
        program = shutil.which(arguments[0], path=environment.get("PATH", os.defpath))
        if program is None and name in _STAND_INS:
            return ContainerCommand((sys.executable, "-m", _STAND_INS[name], *arguments[1:]), environment)
        if program is None:
            raise CommandNotFoundError(
                f"{arguments[0]!r} is not installed on this machine, where pods run. Install it first."
            )
        return ContainerCommand((program, *arguments[1:]), environment)

    def log_span(self, namespace: str, pod: str, container: str, previous: bool) -> LogSpan | None:
        """Which part of which file is the log of a container's process, or of the one before it."""
        runtime = self._runtime()
        return runtime.log_span(namespace, pod, container, previous) if runtime is not None else None

    def address(self, namespace: str, pod: str, port: int) -> tuple[str, int] | None:
        """What the pod's own `localhost:port` is on this machine; None for a pod that does not run."""
        runtime = self._runtime()
        return runtime.address(namespace, pod, port) if runtime is not None else None


def _environment(declared: Mapping[str, Mapping[str, str]], container: str) -> dict[str, str]:
    if container in declared:
        return dict(declared[container])
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
