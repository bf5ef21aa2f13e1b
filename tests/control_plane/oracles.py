"""Where the field's own test cases lie, outside of the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ORACLES = Path(__file__).resolve().parents[3] / "shared" / "oracles" / "istio"


def load(name: str) -> list[dict[str, Any]]:
    """The cases of one file; none when the folder is not there, so that nothing is collected."""
    path = ORACLES / name
    if not path.exists():
        return []
    cases: list[dict[str, Any]] = json.loads(path.read_text())
    return cases


needs_oracles = pytest.mark.skipif(
    not ORACLES.exists(), reason="the oracles are not beside the repository (../shared/oracles)"
)
