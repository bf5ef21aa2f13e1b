"""What a proxy says of itself to the control plane: which program it is, and which build."""

from __future__ import annotations

import ssl
from typing import Any

from minimesh import __version__

PROGRAM = "minimesh"


def introduce(node: Any) -> None:
    """Write the program's name and build into a `core.v3.Node`, as Envoy writes its own at the start."""
    node.user_agent_name = node.user_agent_name or PROGRAM
    build = node.user_agent_build_version
    numbers = (*map(int, __version__.split(".")[:3]),)
    build.version.major_number, build.version.minor_number, build.version.patch = numbers
    build.metadata.update(
        {"revision.status": "Clean", "build.type": "RELEASE", "ssl.version": ssl.OPENSSL_VERSION}
    )
