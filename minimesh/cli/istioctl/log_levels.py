"""`proxy-config log --level`: what the words mean to Envoy's /logging."""

from __future__ import annotations

import re

import click

_ALL = "level"
_LEVELS = {
    **{name: name for name in ("trace", "debug", "info", "warning", "error", "critical", "off")},
    "warn": "warning",
}


def wanted_levels(text: str, active_loggers: str) -> list[str]:
    """The queries to post, one after the other; none for no text.

    `active_loggers` is what /logging answers: a logger that is not in it is refused.
    """
    wanted: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        # `namespace::logger:level`: the namespace says nothing here.
        name, separator, level = (
            re.split("([:=])", part.rpartition("::")[2], maxsplit=1)
            if re.search("[:=]", part)
            else ("", "", part)
        )
        if separator and name != _ALL and name not in active_loggers:
            there = re.findall(r"^\s+([^\s:]+):", active_loggers, re.MULTILINE)
            raise click.ClickException(f"unrecognized logger name: {name}; this proxy has {', '.join(there)}")
        if level not in _LEVELS:
            raise click.ClickException(f"unrecognized logging level: {level}")
        if not separator:
            wanted.clear()
        wanted[name or _ALL] = _LEVELS[level]
    return [f"{name}={level}" for name, level in sorted(wanted.items(), key=lambda item: item[0] != _ALL)]
