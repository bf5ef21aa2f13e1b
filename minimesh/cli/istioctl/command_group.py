"""Click groups whose commands have istioctl's aliases, and options that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class AliasGroup(click.Group):
    """A group in which a command answers to more than one name; only the first is listed."""

    def __init__(self, *args: Any, aliases: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = dict(aliases or {})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))


def namespace_option(function: F) -> F:
    """`-n` after the command, as kubectl has it; `istioctl -n X command` counts where this is not given."""
    return click.option("-n", "--namespace", callback=_namespace, help="Kubernetes namespace.")(function)


def remember_namespace(ctx: click.Context, namespace: str | None) -> None:
    """Keep what the outermost group was told."""
    ctx.ensure_object(dict)["namespace"] = namespace


def _namespace(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    return value or ctx.ensure_object(dict).get("namespace")
