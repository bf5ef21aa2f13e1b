"""`proxy-config ecds`: extension configurations that were sent by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minimesh.cli.istioctl.tabwriter import tabulate


def ecds_table(extensions: Sequence[dict[str, Any]]) -> str:
    """Their names and the types of what they hold."""
    rows = [
        (
            each.get("name", ""),
            each.get("typedConfig", {}).get("@type", "").removeprefix("type.googleapis.com/"),
        )
        for each in extensions
    ]
    return tabulate(("ECDS NAME", "TYPE"), rows)
