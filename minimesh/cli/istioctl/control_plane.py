"""Asks the running mesh's control plane, by its debug API."""

from __future__ import annotations

import json
from typing import Any

from minimesh.cli.istioctl.loopback_http import fetch
from minimesh.cli.refusal import Refusal, no_mesh
from minimesh.platform.state import Run, StateFolder


def running_mesh() -> Run:
    """The mesh that runs; a Refusal when none does."""
    state = StateFolder.default()
    run = state.running()
    if run is not None:
        return run
    raise Refusal("the mesh is still starting", "Ask again in a moment.") if state.is_held() else no_mesh()


def ask_control_plane(path: str) -> Any:
    """The JSON of a page such as `/debug/syncz`."""
    url = f"http://127.0.0.1:{running_mesh().debug_port}{path}"
    return json.loads(fetch(url, who="the control plane"))
