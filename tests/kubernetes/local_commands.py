"""Commands of this machine, as if in a container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from minimesh.kubernetes.pods.container_commands import CommandNotFoundError, ContainerCommand


class LocalCommands:
    """Finds programs on this machine; says which container it was in `CONTAINER`."""

    def command(self, namespace: str, pod: str, container: str, arguments: Sequence[str]) -> ContainerCommand:
        program = shutil.which(arguments[0])
        if program is None:
            raise CommandNotFoundError(f"{arguments[0]!r} is not installed")
        environment = {"PATH": os.environ["PATH"], "CONTAINER": f"{namespace}/{pod}/{container}"}
        return ContainerCommand((program, *arguments[1:]), environment)
