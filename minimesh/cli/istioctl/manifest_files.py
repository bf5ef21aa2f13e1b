"""Which files the words after `-f`, or after `analyze`, mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_SUFFIXES = {".yaml", ".yml", ".json"}


def manifest_files(names: Sequence[str], *, recursive: bool) -> list[str]:
    """The files as they were named, and of folders the manifests in them, sorted."""
    found: list[str] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = path.rglob("*") if recursive else path.glob("*")
            found += sorted(str(each) for each in inside if each.suffix in _SUFFIXES)
        else:
            found.append(name)
    return found
