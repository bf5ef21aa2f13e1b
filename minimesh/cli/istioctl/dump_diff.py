"""`proxy-status POD`: what the control plane means a proxy to have against what the proxy has."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from typing import Any

from minimesh.cli.istioctl.config_dump import ConfigDump

_CONTEXT_LINES = 7


def describe_differences(meant: ConfigDump, had: ConfigDump) -> str:
    """A line for each kind that matches, a unified diff for each that does not."""
    parts = []
    for kind, resources in (
        ("Clusters", ConfigDump.dynamic_clusters),
        ("Listeners", ConfigDump.dynamic_listeners),
        ("Routes", ConfigDump.dynamic_routes),
    ):
        difference = "".join(
            difflib.unified_diff(
                _lines(resources(meant)),
                _lines(resources(had)),
                f"Istiod {kind}",
                f"Envoy {kind}",
                n=_CONTEXT_LINES,
            )
        )
        parts.append(difference or f"{kind} Match")
    return "\n".join(parts) + "\n"


def _lines(resources: Sequence[dict[str, Any]]) -> list[str]:
    ordered = sorted(resources, key=lambda each: str(each.get("name", "")))
    return json.dumps(ordered, indent=3, sort_keys=True).splitlines(keepends=True)
