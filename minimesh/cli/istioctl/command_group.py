"""Click groups whose commands have istioctl's aliases, and options that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
_SHARED = {
    "-n": "--namespace",
    "-i": "--istioNamespace",
    "-c": "--kubeconfig",
    **{name: name for name in ("--namespace", "--istioNamespace", "--kubeconfig", "--context", "--vklog")},
}
"""Options of the outermost group that may stand anywhere in a line, each with a value."""


class NoSuchCommandError(click.ClickException):
    """There is no such command; ends the process as istioctl ends for incorrect usage."""

    exit_code = 64


class AliasGroup(click.Group):
    """A group in which a command answers to more than one name; only the first is listed.

    `absent` has the commands of the real istioctl that are not here, each with what to say of it.
    """

    def __init__(
        self,
        *args: Any,
        aliases: Mapping[str, str] | None = None,
        absent: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.aliases = dict(aliases or {})
        self.absent = dict(absent or {})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            self._refuse(ctx, name)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: click.Context, name: str) -> NoReturn:
        of = ctx.command_path
        text = f'unknown command "{name}" for "{of}"\nRun \'{of} --help\' for usage.'
        if name in self.absent:
            text = f"{of} {name} is not part of minimesh: {self.absent[name]}"
        raise NoSuchCommandError(text)


class OutermostGroup(AliasGroup):
    """The group that has the shared options, wherever in the line they stand."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, shared_options_first(args))


def shared_options_first(args: Sequence[str]) -> list[str]:
    """The same line with the shared options before the command; what follows `--` is left alone."""
    first: list[str] = []
    rest = list(args)
    kept: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--":
            kept += [word, *rest]
            break
        name, equals, value = word.partition("=")
        if name not in _SHARED:
            kept.append(word)
        elif equals:
            first += [_SHARED[name], value]
        else:
            first += [_SHARED[name], *rest[:1]]
            rest = rest[1:]
    return [*first, *kept]


def namespace_option(function: F) -> F:
    """`-n` in the help of a command; given anywhere, it is the outermost group's."""
    return click.option("-n", "--namespace", callback=_namespace, help="Kubernetes namespace.")(function)


def remember_namespace(ctx: click.Context, namespace: str | None) -> None:
    """Keep what the outermost group was told."""
    ctx.ensure_object(dict)["namespace"] = namespace


def _namespace(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    return value or ctx.ensure_object(dict).get("namespace")
