"""How a command says no."""

from __future__ import annotations

import click

from minimesh.cli.invocation import invocation


class Refusal(click.ClickException):
    """A reason in one line, and what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        stop = "" if reason.endswith("?") else "."
        super().__init__(f"{reason}{stop} {remedy}" if remedy else reason)

    def show(self, file: object = None) -> None:
        click.echo(f"minimesh: {self.message}", err=True)


def no_mesh() -> Refusal:
    """For commands that need a running mesh."""
    return Refusal("no mesh runs", f"Start one: {invocation('up configs/gs configs/httpbin')}")
