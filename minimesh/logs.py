"""The one door to structlog: how this program logs.

Events are nouns (`proxy connected`, `push`, `configuration rejected`) and what happened is in the fields.
Lines go to standard error, readable by default and JSON on request; standard output belongs to the answers
of commands and to access logs.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import structlog


def configure(level: str = "info", *, as_json: bool = False, file: Path | None = None) -> None:
    """Set the level (`debug`, `info`, `warning`, `error`) and form of every log line of this process.

    `file` gets lines from level `info` on, whatever the level here. Raises KeyError for an unknown level.
    """
    levels = logging.getLevelNamesMapping()
    lowest = levels[level.upper()] if file is None else min(levels[level.upper()], logging.INFO)
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *([_FileCopy(file, level)] if file is not None else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


class _FileCopy:
    """Writes each line to a file; only what has reached `level` goes on to standard error."""

    def __init__(self, path: Path, level: str) -> None:
        self._file = path.open("a", buffering=1)
        self._level = logging.getLevelNamesMapping()[level.upper()]
        self._render = structlog.dev.ConsoleRenderer(colors=False)

    def __call__(self, logger: Any, method: str, event: Any) -> Any:
        print(self._render(logger, method, dict(event)), file=self._file)
        if logging.getLevelNamesMapping()[str(event["level"]).upper()] < self._level:
            raise structlog.DropEvent
        return event


def get_logger(component: str) -> Any:
    """A logger whose lines carry the component's name."""
    return structlog.get_logger(component=component)
