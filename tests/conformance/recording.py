"""What Envoy was seen to do, kept in `recorded/`: one file a chapter, written by `--record` alone.

Each entry carries a digest of its case and of the bootstrap file, so that an entry whose case has changed
since is not taken for an answer to it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.conformance.bootstraps.shapes import Logs, Setting
from tests.conformance.case import Case, Chapter
from tests.conformance.comparison import Observations
from tests.conformance.observation import Observation

_FOLDER = Path(__file__).parent / "recorded"


class OutdatedRecordError(Exception):
    """A case, or its bootstrap file, has changed since it was recorded."""


def record(chapters: Sequence[Chapter], seen: Observations) -> None:
    """Write down what Envoy did with every case."""
    for old in _FOLDER.glob("*.json"):
        old.unlink()
    for chapter in chapters:
        entries = {
            case.name: {"case": digest(chapter, case), **asdict(seen[case.name])} for case in chapter.cases
        }
        _file(chapter).write_text(json.dumps(entries, indent=1, ensure_ascii=True) + "\n")


def read_recorded(chapters: Sequence[Chapter]) -> Observations:
    """What Envoy did with these cases. Raises OutdatedRecordError."""
    found: Observations = {}
    for chapter in chapters:
        entries: dict[str, dict[str, Any]] = json.loads(_file(chapter).read_text())
        for case in chapter.cases:
            entry = entries.get(case.name, {})
            if entry.pop("case", "") != digest(chapter, case):
                raise OutdatedRecordError(
                    f"{case.name!r} has changed: record it with `python -m tests.conformance --record`"
                )
            found[case.name] = Observation(**{field: tuple(texts) for field, texts in entry.items()})
    return found


def digest(chapter: Chapter, case: Case) -> str:
    """Changes when the case changes, or the bootstrap file."""
    return _digest(f"{_file_digest(chapter.setting)}{case!r}")


@functools.cache
def _file_digest(setting: Setting) -> str:
    return _digest(setting.text(defaultdict(int), Logs("text", "json")))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file(chapter: Chapter) -> Path:
    return _FOLDER / f"{chapter.name.replace(' ', '_')}.json"
