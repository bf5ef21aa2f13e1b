"""The one door to structlog: how this program logs.

Events are nouns (`proxy connected`, `push`, `configuration rejected`) and what happened is in the fields.
Lines go to standard error, readable by default and JSON on request; standard output belongs to the answers
of commands and to access logs.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure(level: str = "info", *, as_json: bool = False) -> None:
    """Set the level (`debug`, `info`, `warning`, `error`) and form of every log line of this process.

    Raises KeyError for an unknown level.
    """
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
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(component: str) -> Any:
    """A logger whose lines carry the component's name."""
    return structlog.get_logger(component=component)
